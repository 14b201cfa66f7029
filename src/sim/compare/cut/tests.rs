//! Every packet is in exactly one part, with every rule that can match it.
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use proptest::prelude::*;

use super::*;

/// Two inputs, one in network byte order and one in host byte order.
const INPUTS: [Input; 2] = [Input::Dport, Input::Mark];

/// The number of values tested for each input, from the lowest and from the highest.
const NUMBERS: u128 = 14;

/// Returns one of the lowest or of the highest values.
fn number(input: Input, number: u128) -> u128 {
    if number < NUMBERS / 2 { number } else { most(input) - (NUMBERS - 1 - number) }
}

/// The lowest value that a rule matches, and the number of further ones.
type Asked = Option<(u128, u128)>;

/// Returns rules that match on one input, on both or on none.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let span = prop::option::weighted(0.8, (0..NUMBERS, 0..3_u128));
    prop::collection::vec((span.clone(), span), 1..60).prop_map(|all| {
        let item = |spans: (Asked, Asked)| {
            let spans = INPUTS.into_iter().zip([spans.0, spans.1]).filter_map(|(input, span)| {
                let (low, length) = span?;
                let (low, high) = (number(input, low), number(input, (low + length).min(NUMBERS - 1)));
                Some(Span { input, low, high })
            });
            Item { what: What::Difference, spans: spans.collect() }
        };
        all.into_iter().map(item).collect()
    })
}

fn holds(spans: &[Span], packet: [u128; 2]) -> bool {
    INPUTS.into_iter().zip(packet).all(|(input, number)| {
        spans.iter().filter(|span| span.input == input).all(|span| span.low <= number && number <= span.high)
    })
}

proptest! {
    #[test]
    fn every_packet_is_in_one_part_with_every_rule_that_can_match_it(items in items(), few in 0..9_usize) {
        let Some(mut cutter) = Cutter::new(items, few) else { return Ok(()) };
        let mut parts = Vec::new();
        while let Some(part) = cutter.next() {
            prop_assert!(part.spans.iter().all(|span| span.low <= span.high), "a part without packets");
            parts.push(part);
        }
        for packet in (0..NUMBERS * NUMBERS).map(|at| [at / NUMBERS, at % NUMBERS]) {
            let packet = [number(INPUTS[0], packet[0]), number(INPUTS[1], packet[1])];
            let of: Vec<&Excerpt> = parts.iter().filter(|part| holds(&part.spans, packet)).collect();
            prop_assert_eq!(of.len(), 1, "{:?} is in so many parts", packet);
            for (index, item) in cutter.items.iter().enumerate().filter(|(_, item)| holds(&item.spans, packet)) {
                let index = u32::try_from(index).expect("few");
                prop_assert!(of[0].items.contains(&index), "{:?} is without {:?}", packet, item.spans);
            }
        }
    }

    #[test]
    fn an_interval_contains_exactly_its_numbers(low in 0..NUMBERS, length in 0..NUMBERS) {
        for input in INPUTS {
            let bytes = input.bytes();
            let mut bdd = Bdd::new();
            let (low, high) = (number(input, low), number(input, (low + length).min(NUMBERS - 1)));
            let inside = interval(&mut bdd, input, low, high);
            for number in (0..NUMBERS).map(|at| number(input, at)) {
                let of = bdd.number(number, u32::try_from(8 * bytes).expect("small"));
                let is_in = bdd.and(inside, of) != Node::NOTHING;
                prop_assert_eq!(is_in, low <= number && number <= high, "{} in {}..={}", number, low, high);
            }
        }
    }
}

/// The quality of a cut is not a matter of correctness, but where much can be gained there must be
/// one.
#[test]
fn rules_for_one_number_each_are_cut_into_small_parts() {
    let item = |number| {
        let spans = [Span { input: Input::Dport, low: number, high: number }].into_iter().collect();
        Item { what: What::Difference, spans }
    };
    let mut cutter = Cutter::new((0..1000).map(item).collect(), 64).expect("many");
    while let Some(part) = cutter.next() {
        assert!(part.items.len() <= 16, "{} rules", part.items.len());
    }
}
