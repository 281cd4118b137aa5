//! Names for containers whose user gave none: an adjective and a sailor, boat builder or scientist of the sea.

use rand::seq::IndexedRandom;

const ADJECTIVES: [&str; 40] = [
    "agile", "bold", "brave", "bright", "brisk", "buoyant", "calm", "clever", "curious", "daring", "eager", "fair",
    "fearless", "fleet", "gentle", "gracious", "happy", "hardy", "keen", "kind", "lively", "lucid", "merry", "mighty",
    "modest", "nimble", "noble", "patient", "proud", "quick", "quiet", "ready", "salty", "serene", "steady", "sturdy",
    "swift", "tidal", "upbeat", "wise",
];

const SURNAMES: [&str; 40] = [
    "aotearoa",
    "bering",
    "carson",
    "cousteau",
    "crowley",
    "davis",
    "earle",
    "ellis",
    "finau",
    "fleming",
    "halley",
    "henson",
    "joshua",
    "kahanamoku",
    "kupe",
    "lewis",
    "magellan",
    "maury",
    "moana",
    "nainoa",
    "nansen",
    "piailug",
    "polo",
    "rata",
    "revell",
    "ross",
    "sacagawea",
    "shackleton",
    "slocum",
    "tabarly",
    "tasman",
    "tharp",
    "tupaia",
    "vaka",
    "vasco",
    "waka",
    "walker",
    "wilkes",
    "zheng",
    "zubeida",
];

/// `adjective_surname`, with a digit appended from the second try on.
pub(crate) fn random(attempt: usize) -> String {
    let mut rng = rand::rng();
    let adjective = ADJECTIVES.choose(&mut rng).expect("the list is not empty");
    let surname = SURNAMES.choose(&mut rng).expect("the list is not empty");
    match attempt {
        0 => format!("{adjective}_{surname}"),
        _ => format!("{adjective}_{surname}{}", rand::random_range(0..10)),
    }
}
