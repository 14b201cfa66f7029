//! A raised snapshot equals the kernel's state, for random tables in nft's language that nft
//! accepts.

use super::dice::Dice;
use super::laws::{opened, raised_changes_nothing, raised_is_copied, raised_is_made_again};
use super::nft_grammar;
use crate::support::{self, in_fresh_netns, nft_script, nft_takes, say};

/// Number of random tables; `NFTMESH_RAISED_CASES` and `NFTMESH_RAISED_SEED` set number and seed.
const RANDOM: usize = 300;

#[test]
fn random_tables_of_nft_are_in_sync_with_themselves() {
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (cases, seed) = (number("NFTMESH_RAISED_CASES", RANDOM), number("NFTMESH_RAISED_SEED", 1));
    let mut dice = Dice::new(u64::try_from(seed).expect("a small number"));
    let mut taken = 0;
    in_fresh_netns(|| {
        support::ip("link add eth0 type ifb");
        for index in 0..cases {
            let (script, _) = nft_grammar::table(&mut dice, &format!("t{index}"));
            if nft_takes(&script).is_ok() {
                taken += 1;
                raised_changes_nothing(&mut opened());
                raised_is_copied(&mut opened());
                raised_is_made_again(&mut opened());
                nft_script("flush ruleset");
            }
        }
    });
    say(format_args!("{taken} random tables of {cases} that nft takes, read and raised"));
    assert!(taken > cases / 4 || taken == 0, "nft takes only {taken} of {cases}");
}
