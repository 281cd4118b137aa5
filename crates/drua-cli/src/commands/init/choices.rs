//! What is to be written: what was found, and what the user said instead.

use drua_init::{Database, Key, Place, Plan, Service, SettingError, Stack, Survey, Tree, survey_as};
use jiff::civil::Date;

use crate::failure::Failure;
use drua_types::{Hint as _, exit};

/// A folder with what it is taken for.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) chosen: bool,
    pub(super) service: Service,
    /// What else it could be.
    candidates: Vec<Service>,
}

/// Everything that is settled before files are made.
pub(super) struct Choices<'t> {
    tree: &'t dyn Tree,
    today: Date,
    project: String,
    pub(super) places: Vec<Chosen>,
    pub(super) databases: Vec<Database>,
    pub(super) notes: Vec<String>,
}

impl<'t> Choices<'t> {
    /// What is written when the user says nothing else.
    pub(super) fn new(tree: &'t dyn Tree, survey: Survey, project: String, today: Date) -> Self {
        let place = |place: Place| Chosen {
            chosen: place.chosen,
            service: place.candidates[0].clone(),
            candidates: place.candidates,
        };
        let places = survey.places.into_iter().map(place).collect();
        let mut choices = Self { tree, today, project, places, databases: Vec::new(), notes: survey.notes };
        choices.find_databases();
        choices
    }

    /// The services that are chosen, with the numbers of their places.
    pub(super) fn services(&self) -> impl Iterator<Item = (usize, &Service)> {
        self.places.iter().enumerate().filter(|(_, place)| place.chosen).map(|(number, place)| (number, &place.service))
    }

    /// The stacks that a place could be, the likeliest first.
    pub(super) fn stacks(&self, place: usize) -> Vec<Stack> {
        self.places[place].candidates.iter().map(|service| service.stack).collect()
    }

    /// Takes a place for another stack.
    pub(super) fn take_stack(&mut self, place: usize, stack: Stack) {
        let place = &mut self.places[place];
        let found = place.candidates.iter().find(|service| service.stack == stack).cloned();
        place.service = found.unwrap_or_else(|| survey_as(self.tree, &place.service.dir, stack, self.today));
        self.find_databases();
    }

    /// The databases that the chosen services use.
    fn find_databases(&mut self) {
        let used = self.places.iter().filter(|place| place.chosen).flat_map(|place| &place.service.databases);
        let mut databases: Vec<Database> = used.map(|(database, _)| *database).collect();
        databases.sort();
        databases.dedup();
        self.databases = databases;
    }

    /// Chooses these folders and no others; one that nothing was found in is looked at as Other.
    pub(super) fn choose(&mut self, dirs: &[String]) -> Result<(), Failure> {
        for place in &mut self.places {
            place.chosen = false;
        }
        for dir in dirs {
            let dir = dir.trim_start_matches("./").trim_end_matches('/');
            let dir = if dir == "." { "" } else { dir };
            let Some(place) = self.places.iter_mut().find(|place| place.service.dir == dir) else {
                let known: Vec<&str> = self.places.iter().map(|place| place.service.dir.as_str()).collect();
                let known =
                    known.iter().map(|dir| if dir.is_empty() { "." } else { dir }).collect::<Vec<_>>().join(", ");
                return Err(Failure::message(format!("nothing that runs was found in `{dir}`"))
                    .with_code(exit::USAGE)
                    .hint(format!("services were found in: {known}")));
            };
            place.chosen = true;
        }
        self.find_databases();
        Ok(())
    }

    /// `key=value`, or `service.key=value` where there are several.
    pub(super) fn set(&mut self, assignment: &str) -> Result<(), Failure> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| refused(SettingError::Form(assignment.to_owned())))?;
        if key == "databases" {
            return self.set_databases(value);
        }
        let (name, key) = key.rsplit_once('.').map_or((None, key), |(name, key)| (Some(name), key));
        let key: Key = key.parse().map_err(refused)?;
        let count = self.services().count();
        let mut found = false;
        for place in self.places.iter_mut().filter(|place| place.chosen) {
            let meant = name.is_none_or(|name| place.service.name() == name);
            // Without a name, a setting is for those that have it; for one service alone it must be there.
            let has = place.service.settings.get(key).is_some() || name.is_some() || count == 1;
            if meant && has {
                found = true;
                place.service.set(key, value).map_err(refused)?;
            }
        }
        if found {
            return Ok(());
        }
        let names: Vec<&str> = self.services().map(|(_, service)| service.name()).collect();
        let what = name.map_or_else(
            || format!("no service has a setting `{key}`"),
            |name| format!("there is no service `{name}`"),
        );
        Err(Failure::message(what).with_code(exit::USAGE).hint(format!("services are {}", names.join(", "))))
    }

    fn set_databases(&mut self, value: &str) -> Result<(), Failure> {
        let words = value.split([',', ' ']).filter(|word| !word.is_empty() && *word != "none");
        let find = |word: &str| {
            let word = word.to_ascii_lowercase();
            let other = [("postgresql", "postgres"), ("mariadb", "mysql"), ("mongo", "mongodb"), ("valkey", "redis")];
            let id = other.iter().find(|(other, _)| *other == word).map_or(word.as_str(), |(_, id)| id);
            Database::ALL.into_iter().find(|database| database.id() == id).ok_or_else(|| {
                Failure::message(format!("there is no database `{word}`"))
                    .with_code(exit::USAGE)
                    .hint("databases are postgres, mysql, redis, mongodb, and none for none")
            })
        };
        self.databases = words.map(find).collect::<Result<_, _>>()?;
        self.databases.sort();
        self.databases.dedup();
        Ok(())
    }

    /// The plan that follows.
    pub(super) fn plan(&self) -> Plan {
        let services = self.services().map(|(_, service)| service.clone()).collect();
        Plan { project: self.project.clone(), services, databases: self.databases.clone() }
    }
}

fn refused(error: SettingError) -> Failure {
    let hints = error.hints();
    hints.into_iter().fold(Failure::new(error).with_code(exit::USAGE), Failure::hint)
}
