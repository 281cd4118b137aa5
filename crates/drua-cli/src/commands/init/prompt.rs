//! Asking: by a terminal, or in tests by a script.

use inquire::{Confirm, InquireError, MultiSelect, Select, Text};

use crate::failure::Failure;

/// What a question brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// An answer.
    Given(T),
    /// The question before, please.
    Back,
}

/// Somebody who answers.
pub(super) trait Prompt {
    /// One of several, by its number.
    fn select(
        &mut self,
        question: &str,
        help: &str,
        options: &[String],
        current: usize,
    ) -> Result<Answer<usize>, Failure>;
    /// Any of several, by their numbers.
    fn several(
        &mut self,
        question: &str,
        help: &str,
        options: &[String],
        current: &[usize],
    ) -> Result<Answer<Vec<usize>>, Failure>;
    /// A text that `check` accepts.
    fn text(
        &mut self,
        question: &str,
        help: &str,
        current: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Answer<String>, Failure>;
    /// Yes or no.
    fn confirm(&mut self, question: &str, current: bool) -> Result<bool, Failure>;
    /// Shows something between questions.
    fn show(&mut self, text: &str);
}

/// Somebody at a terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) ui: crate::ui::Printer,
}

/// 128 + SIGINT, as a shell reports it.
const INTERRUPTED: u8 = 130;

fn answer<T>(result: Result<T, InquireError>) -> Result<Answer<T>, Failure> {
    match result {
        Ok(value) => Ok(Answer::Given(value)),
        Err(InquireError::OperationCanceled) => Ok(Answer::Back),
        Err(InquireError::OperationInterrupted) => {
            Err(Failure::message("interrupted; nothing was written").with_code(INTERRUPTED))
        }
        Err(InquireError::NotTTY) => Err(Failure::message("there is no terminal to ask at")
            .hint("answer beforehand: `drua init --yes --set key=value`")),
        Err(error) => Err(Failure::new(error)),
    }
}

impl Prompt for Terminal {
    fn select(
        &mut self,
        question: &str,
        help: &str,
        options: &[String],
        current: usize,
    ) -> Result<Answer<usize>, Failure> {
        let options: Vec<Numbered> = numbered(options);
        let help = format!("{help} · arrows or typing choose, Esc goes back");
        let select =
            Select::new(question, options).with_help_message(&help).with_starting_cursor(current).with_page_size(12);
        answer(select.prompt().map(|chosen| chosen.number))
    }

    fn several(
        &mut self,
        question: &str,
        help: &str,
        options: &[String],
        current: &[usize],
    ) -> Result<Answer<Vec<usize>>, Failure> {
        let options: Vec<Numbered> = numbered(options);
        let help = format!("{help} · space marks, Enter accepts, Esc goes back");
        let select =
            MultiSelect::new(question, options).with_help_message(&help).with_default(current).with_page_size(12);
        answer(select.prompt().map(|chosen| chosen.iter().map(|one| one.number).collect()))
    }

    fn text(
        &mut self,
        question: &str,
        help: &str,
        current: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<Answer<String>, Failure> {
        let help = format!("{help} · Esc goes back");
        let mut initial = current.to_owned();
        loop {
            let given = answer(Text::new(question).with_help_message(&help).with_initial_value(&initial).prompt())?;
            let Answer::Given(text) = given else { return Ok(Answer::Back) };
            match check(&text) {
                Ok(()) => return Ok(Answer::Given(text)),
                Err(problem) => self.ui.note(&problem),
            }
            initial = text;
        }
    }

    fn confirm(&mut self, question: &str, current: bool) -> Result<bool, Failure> {
        match answer(Confirm::new(question).with_default(current).prompt())? {
            Answer::Given(yes) => Ok(yes),
            Answer::Back => Ok(false),
        }
    }

    fn show(&mut self, text: &str) {
        self.ui.note(text);
    }
}

/// An option that remembers its place.
struct Numbered {
    number: usize,
    text: String,
}

impl std::fmt::Display for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn numbered(options: &[String]) -> Vec<Numbered> {
    options.iter().enumerate().map(|(number, text)| Numbered { number, text: text.clone() }).collect()
}
