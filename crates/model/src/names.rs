//! Random names for runs and logged models without a name: `brave-heron-417`.

use rand::{Rng, seq::IndexedRandom};

/// A name such as `brave-heron-417`: two words and a number from 0 to 1,000. The words are so short that a name has at
/// most 20 characters.
#[must_use]
pub fn random_name() -> String {
    random_name_from(&mut rand::rng())
}

/// [`random_name`] with the caller's random number generator.
pub fn random_name_from<R: Rng + ?Sized>(rng: &mut R) -> String {
    let quality = QUALITIES.choose(rng).copied().unwrap_or("new");
    let creature = CREATURES.choose(rng).copied().unwrap_or("run");
    format!("{quality}-{creature}-{}", rng.random_range(0..=1000))
}

#[rustfmt::skip]
const QUALITIES: &[&str] = &[
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "aquatic", "ardent", "artful", "ashen", "astute",
    "autumnal", "awake", "balanced", "balmy", "beaming", "blazing", "blithe", "bold", "bouncy", "brave", "breezy",
    "brief", "bright", "brisk", "bronze", "bubbly", "burly", "calm", "candid", "careful", "caring", "casual",
    "charming", "cheerful", "chilly", "civil", "classy", "clear", "clever", "coastal", "cosmic", "cozy", "crafty",
    "crisp", "curious", "curly", "dainty", "dapper", "daring", "dashing", "deft", "delicate", "diligent", "dreamy",
    "dusky", "dynamic", "eager", "early", "earnest", "easy", "elated", "elegant", "eloquent", "exotic", "fabled",
    "fair", "famous", "fancy", "fearless", "feisty", "fine", "fleet", "fluent", "fond", "formal", "frank", "fresh",
    "frosty", "gallant", "gentle", "gifted", "glad", "gleaming", "glossy", "golden", "graceful", "grand", "hardy",
    "hasty", "hearty", "honest", "hopeful", "humble", "humorous", "icy", "ideal", "indigo", "intent", "ivory",
    "jaunty", "jolly", "jovial", "joyful", "keen", "kind", "lavish", "legal", "lilac", "limber", "lively", "lofty",
    "loyal", "lucid", "lucky", "luminous", "lunar", "lush", "magnetic", "majestic", "mellow", "merry", "mighty",
    "mild", "mindful", "misty", "modest", "mossy", "musical", "mystic", "nautical", "neat", "nifty", "nimble",
    "noble", "northern", "novel", "olive", "open", "orderly", "patient", "peaceful", "pearly", "perky", "placid",
    "playful", "poised", "polite", "prime", "proud", "prudent", "quaint", "quick", "quiet", "radiant", "rapid",
    "rare", "ready", "regal", "robust", "rosy", "rugged", "rustic", "sage", "sandy", "serene", "sharp", "shiny",
    "silent", "silver", "sincere", "skilled", "sleek", "smart", "smooth", "snowy", "solar", "solid", "sonic",
    "spirited", "stately", "steady", "stellar", "stoic", "sturdy", "subtle", "sunny", "swift", "tactful", "tender",
    "thorough", "tidy", "tranquil", "trusty", "upbeat", "valiant", "velvet", "vernal", "vivid", "warm", "watchful",
    "wise", "witty", "wondrous", "zesty",
];

#[rustfmt::skip]
const CREATURES: &[&str] = &[
    "adder", "alpaca", "asp", "auk", "badger", "barbet", "bat", "bear", "beaver", "bee", "beetle", "bison", "boar",
    "bobcat", "bream", "bulbul", "calf", "camel", "carp", "cat", "chick", "civet", "clam", "cod", "colt", "condor",
    "coot", "coral", "cow", "crab", "crane", "crow", "cub", "curlew", "deer", "dingo", "dipper", "dog", "donkey",
    "dove", "duck", "dunlin", "eagle", "eel", "egret", "eider", "eland", "elk", "emu", "ermine", "ewe", "falcon",
    "fawn", "ferret", "finch", "fish", "flea", "fly", "foal", "fox", "frog", "gannet", "gecko", "gerbil", "gibbon",
    "gnat", "gnu", "goat", "goose", "grouse", "gull", "guppy", "hare", "hawk", "hen", "heron", "hippo", "hobby",
    "horse", "hound", "husky", "hyena", "ibex", "ibis", "iguana", "impala", "jackal", "jaguar", "jay", "kite", "kiwi",
    "koala", "krill", "kudu", "lamb", "lark", "lemur", "lion", "lizard", "llama", "loon", "lynx", "magpie", "mantis",
    "mare", "marten", "mink", "minnow", "mole", "moose", "moth", "mouse", "mule", "mussel", "newt", "ocelot", "okapi",
    "oriole", "oryx", "osprey", "otter", "owl", "ox", "oyster", "panda", "parrot", "perch", "pig", "pika", "plover",
    "pony", "puffin", "puma", "quail", "rabbit", "ram", "raven", "ray", "rhino", "robin", "rook", "salmon", "seal",
    "serval", "shad", "sheep", "shrew", "shrimp", "skate", "skink", "skua", "sloth", "smelt", "snail", "snake",
    "snipe", "sole", "squid", "stag", "stoat", "stork", "swan", "swift", "tapir", "teal", "tern", "thrush", "tiger",
    "toad", "trout", "tuna", "turtle", "viper", "vole", "walrus", "wasp", "weasel", "whale", "wigeon", "wolf",
    "wombat", "worm", "wren", "yak", "zebra",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_words_are_many_and_different() {
        for (words, longest) in [(QUALITIES, 8), (CREATURES, 6)] {
            assert!(words.len() > 150, "{}", words.len());
            assert!(words.iter().all(|word| word.len() <= longest));
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    #[test]
    fn names_differ() {
        let names: HashSet<String> = (0..1000).map(|_| random_name()).collect();
        assert!(names.len() > 990, "{}", names.len());
    }

    proptest! {
        #[test]
        fn a_name_is_two_words_and_a_number(seed: u64) {
            let name = random_name_from(&mut StdRng::seed_from_u64(seed));
            prop_assert!(name.len() <= 20, "{}", name);
            let parts: Vec<&str> = name.splitn(3, '-').collect();
            prop_assert!(QUALITIES.contains(&parts[0]) && CREATURES.contains(&parts[1]), "{}", name);
            prop_assert!(parts[2].parse::<u32>().is_ok_and(|number| number <= 1000), "{}", name);
        }
    }
}
