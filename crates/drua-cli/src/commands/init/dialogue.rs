//! The questions, in an order in which one can go back.

use drua_init::{Database, Hunk, Key, Kind, Service, Stack, apply, hunks};

use super::choices::Choices;
use super::files::{Action, Target};
use super::prompt::{Answer, Prompt};
use super::report;
use crate::failure::Failure;
use crate::ui::Paint;

/// What the user wants after an overview.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    Quit,
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Places,
    Stack(usize),
    Setting(usize, Key),
    Databases,
}

/// Shows what was found and lets it be changed until it is right.
pub(super) fn settle(choices: &mut Choices<'_>, prompt: &mut dyn Prompt, paint: Paint) -> Result<Verdict, Failure> {
    loop {
        prompt.show(&report::overview(choices, paint));
        let options = ["Yes, go on".to_owned(), "Change something".to_owned(), "Quit, write nothing".to_owned()];
        match prompt.select("Is that right?", "every line says why", &options, 0)? {
            Answer::Given(0) => return Ok(Verdict::Write),
            Answer::Given(1) => walk(choices, prompt)?,
            Answer::Given(_) | Answer::Back => return Ok(Verdict::Quit),
        }
    }
}

/// Asks everything once; going back before the first question leaves.
fn walk(choices: &mut Choices<'_>, prompt: &mut dyn Prompt) -> Result<(), Failure> {
    let mut at = 0;
    loop {
        // Answers change which questions follow.
        let steps = steps(choices);
        let Some(step) = steps.get(at) else { return Ok(()) };
        match ask(*step, choices, prompt)? {
            Answer::Given(()) => at += 1,
            Answer::Back if at == 0 => return Ok(()),
            Answer::Back => at -= 1,
        }
    }
}

fn steps(choices: &Choices<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if choices.places.len() > 1 {
        steps.push(Step::Places);
    }
    let several = choices.services().count() > 1;
    for (place, service) in choices.services() {
        steps.push(Step::Stack(place));
        for (key, setting) in service.settings.iter() {
            let single = matches!(setting.kind, Kind::Choice(values) if values.len() < 2);
            if !single && (several || key != Key::Name) {
                steps.push(Step::Setting(place, key));
            }
        }
    }
    steps.push(Step::Databases);
    steps
}

fn ask(step: Step, choices: &mut Choices<'_>, prompt: &mut dyn Prompt) -> Result<Answer<()>, Failure> {
    match step {
        Step::Places => {
            let name = |dir: &str| if dir.is_empty() { "this folder".to_owned() } else { dir.to_owned() };
            let options: Vec<String> = choices
                .places
                .iter()
                .map(|place| format!("{}: {}", name(&place.service.dir), place.service.title))
                .collect();
            let current: Vec<usize> = (0..options.len()).filter(|place| choices.places[*place].chosen).collect();
            let answer =
                prompt.several("Which folders become services?", "each gets a Dockerfile", &options, &current)?;
            Ok(given(answer, |chosen: Vec<usize>| {
                for (number, place) in choices.places.iter_mut().enumerate() {
                    place.chosen = chosen.contains(&number);
                }
            }))
        }
        Step::Stack(place) => {
            let current = choices.places[place].service.stack;
            let found = choices.stacks(place);
            let rest = Stack::ALL.into_iter().filter(|stack| !found.contains(stack));
            let stacks: Vec<Stack> = found.iter().copied().chain(rest).collect();
            let mark = |stack: &Stack| if found.contains(stack) { " (found)" } else { "" };
            let options: Vec<String> = stacks.iter().map(|stack| format!("{}{}", stack.title(), mark(stack))).collect();
            let cursor = stacks.iter().position(|stack| *stack == current).unwrap_or_default();
            let question = format!("What is {}?", label(&choices.places[place].service));
            let answer = prompt.select(&question, "what was found comes first", &options, cursor)?;
            Ok(given(answer, |number| {
                if stacks[number] != current {
                    choices.take_stack(place, stacks[number]);
                }
            }))
        }
        Step::Setting(place, key) => setting(place, key, choices, prompt),
        Step::Databases => {
            let options: Vec<String> = Database::ALL.iter().map(|one| one.title().to_owned()).collect();
            let current: Vec<usize> = Database::ALL
                .iter()
                .enumerate()
                .filter(|(_, one)| choices.databases.contains(one))
                .map(|(number, _)| number)
                .collect();
            let help = "run beside the services, with a volume and a health check";
            let answer = prompt.several("Which databases does it use?", help, &options, &current)?;
            Ok(given(answer, |chosen: Vec<usize>| {
                choices.databases = chosen.into_iter().map(|number| Database::ALL[number]).collect();
            }))
        }
    }
}

fn setting(place: usize, key: Key, choices: &mut Choices<'_>, prompt: &mut dyn Prompt) -> Result<Answer<()>, Failure> {
    let service = &choices.places[place].service;
    let Some(setting) = service.settings.get(key).cloned() else { return Ok(Answer::Given(())) };
    let several = choices.services().count() > 1;
    let question = if several { format!("{}: {}", label(service), key.question()) } else { key.question().to_owned() };
    let help = format!("{} · {}", key.help(), setting.evidence);
    let answer = match setting.kind {
        Kind::Choice(values) => {
            let options: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            let cursor = values.iter().position(|value| *value == setting.value).unwrap_or_default();
            match prompt.select(&question, &help, &options, cursor)? {
                Answer::Given(number) => Answer::Given(values[number].to_owned()),
                Answer::Back => Answer::Back,
            }
        }
        kind => {
            let check = |text: &str| key.check(kind, text.trim()).map_err(|error| error.to_string());
            prompt.text(&question, &help, &setting.value, &check)?
        }
    };
    let Answer::Given(value) = answer else { return Ok(Answer::Back) };
    // What stays as it was keeps its reason.
    if value.trim() != setting.value {
        choices.places[place].service.set(key, &value)?;
    }
    Ok(Answer::Given(()))
}

fn label(service: &Service) -> String {
    if service.dir.is_empty() { "this folder".to_owned() } else { format!("`{}`", service.dir) }
}

fn given<T>(answer: Answer<T>, then: impl FnOnce(T)) -> Answer<()> {
    match answer {
        Answer::Given(value) => {
            then(value);
            Answer::Given(())
        }
        Answer::Back => Answer::Back,
    }
}

/// Asks about every file that is there and differs. `Back` is before the first of them.
pub(super) fn existing(targets: &mut [Target], prompt: &mut dyn Prompt, paint: Paint) -> Result<Answer<()>, Failure> {
    let differing: Vec<usize> =
        (0..targets.len()).filter(|at| targets[*at].old.is_some() && targets[*at].action != Action::Same).collect();
    let mut at = 0;
    while let Some(number) = differing.get(at) {
        let target = &mut targets[*number];
        prompt.show(&report::difference(target, paint));
        let merged = target.merged();
        let mut options = vec![("Keep mine", Choice::Keep)];
        if merged.is_some() {
            options.push(("Add to mine what is missing in it", Choice::Merge));
        }
        options.push(("Choose place by place", Choice::Pick));
        options.push(("Take the new one; mine stays beside it as a backup", Choice::Replace));
        let words: Vec<String> = options.iter().map(|(text, _)| (*text).to_owned()).collect();
        let question = format!("{} is there already.", target.file.path);
        let answer = prompt.select(&question, "- is yours, + is new", &words, usize::from(merged.is_some()))?;
        let Answer::Given(chosen) = answer else {
            if at == 0 {
                return Ok(Answer::Back);
            }
            at -= 1;
            continue;
        };
        target.action = match options[chosen].1 {
            Choice::Keep => Action::Keep,
            Choice::Merge => target.with(merged.unwrap_or_default()),
            Choice::Replace => Action::Replace,
            Choice::Pick => match pick(target, prompt, paint)? {
                Answer::Given(text) => target.with(text),
                Answer::Back => continue,
            },
        };
        at += 1;
    }
    Ok(Answer::Given(()))
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Keep,
    Merge,
    Pick,
    Replace,
}

/// Asks about every place where two texts differ.
fn pick(target: &Target, prompt: &mut dyn Prompt, paint: Paint) -> Result<Answer<String>, Failure> {
    let old = target.old.as_deref().unwrap_or_default();
    let found: Vec<Hunk> = hunks(old, &target.file.text);
    let mut chosen = vec![false; found.len()];
    let mut at = 0;
    while let Some(hunk) = found.get(at) {
        prompt.show(&report::hunk(hunk, paint));
        let options = ["Mine".to_owned(), "The new one".to_owned()];
        let question = format!("{}, place {} of {}?", target.file.path, at + 1, found.len());
        match prompt.select(&question, "- is yours, + is new", &options, usize::from(hunk.old.is_empty()))? {
            Answer::Given(number) => {
                chosen[at] = number == 1;
                at += 1;
            }
            Answer::Back if at == 0 => return Ok(Answer::Back),
            Answer::Back => at -= 1,
        }
    }
    Ok(Answer::Given(apply(old, &found, &chosen)))
}
