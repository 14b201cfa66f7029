//! The basis of every kernel test: its namespace is private, fresh, and not the host's.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::{NetNs, in_fresh_netns, ip, needs_namespaces, nft, nft_fails, nft_script};

#[test]
fn a_fresh_namespace_has_lo_up_and_no_rules() {
    in_fresh_netns(|| {
        assert_eq!(nft("list ruleset"), "");
        let addresses = ip("-o addr show");
        assert!(addresses.contains("127.0.0.1/8") && addresses.contains("::1/128"), "{addresses}");
        assert_eq!(ip("-o link show").lines().count(), 1);
        assert_eq!(ip("route show"), "");
    });
}

#[test]
fn rules_of_one_namespace_are_not_seen_in_another() {
    in_fresh_netns(|| {
        nft_script("table inet mine {}");
        NetNs::fresh().run(|| assert_eq!(nft("list ruleset"), ""));
        in_fresh_netns(|| assert_eq!(nft("list ruleset"), ""));
        assert_eq!(nft("list ruleset"), "table inet mine {\n}\n");
    });
}

#[test]
fn a_refused_script_changes_nothing_and_reports_why() {
    in_fresh_netns(|| {
        let complaint = nft_fails("table inet mine { chain c { jump nowhere; }; }");
        assert!(complaint.contains("No such file or directory"), "{complaint}");
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn a_panic_of_the_body_is_a_panic_of_the_test() {
    if needs_namespaces() {
        let outcome = catch_unwind(AssertUnwindSafe(|| in_fresh_netns(|| panic!("on purpose"))));
        let panic = outcome.expect_err("the body panicked");
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    }
}
