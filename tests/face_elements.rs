//! Elements are added and deleted by the name of their set.

mod support;

use nftmesh::plan::{Operation, State};
use nftmesh::prelude::*;
use support::{in_fresh_netns, nft, nft_script};

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn net(text: &str) -> IpNetwork {
    text.parse().expect("a network")
}

const SETS: &str = "table inet mesh {
    set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }
    set ports { type inet_service; timeout 1h; }
    set pairs { type ipv4_addr . inet_service; flags interval; }
}";

#[test]
fn elements_are_encoded_as_the_kernel_declares_their_set() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let mut kernel = Kernel::open().expect("a socket");
        let blocked = mesh().set("blocked");
        let add = Transaction::new().add_elements(&blocked, [net("10.0.0.0/8"), net("198.51.100.7/32")]);
        kernel.check(&add).expect("it would be taken");
        kernel.commit(&add).expect("committed");
        let listed = || nft("list set inet mesh blocked");
        assert!(listed().contains("elements = { 10.0.0.0/8, 192.0.2.0/24,\n\t\t\t     198.51.100.7 }"), "{}", listed());
        let delete = Transaction::new().delete_elements(&blocked, [net("192.0.2.0/24"), net("198.51.100.7/32")]);
        let prepared = kernel.prepare(&delete).expect("valid");
        kernel.commit_prepared(&prepared).expect("committed");
        assert!(listed().contains("elements = { 10.0.0.0/8 }"), "{}", listed());
        kernel.commit(&Transaction::new().flush_set(&blocked)).expect("committed");
        assert!(!listed().contains("elements"), "{}", listed());
        kernel.commit(&Transaction::new().delete_set(&blocked)).expect("committed");
        assert_eq!(kernel.set(&blocked).expect("an answer"), None);
    });
}

#[test]
fn a_set_of_the_same_transaction_takes_precedence_over_an_existing_one() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let mut kernel = Kernel::open().expect("a socket");
        let blocked = mesh().set("blocked");
        let anew = Transaction::new()
            .delete_set(&blocked)
            .add_set(&mesh(), Set::new("blocked", [DataType::Ipv4]))
            .add_elements(&blocked, [net("192.0.2.1/32")]);
        kernel.commit(&anew).expect("committed");
        assert!(nft("list set inet mesh blocked").contains("elements = { 192.0.2.1 }"));
        assert!(!nft("list set inet mesh blocked").contains("interval"));
    });
}

#[test]
fn a_set_that_does_not_exist_is_named_and_nothing_is_sent() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let mut kernel = Kernel::open().expect("a socket");
        let before = kernel.generation().expect("a generation");
        let transaction = Transaction::new()
            .add_elements(&mesh().set("blocked"), [net("10.0.0.0/8")])
            .add_elements(&mesh().set("absent"), [net("10.0.0.0/8")]);
        for outcome in [kernel.commit(&transaction), kernel.check(&transaction), kernel.prepare(&transaction).map(drop)]
        {
            let error = outcome.expect_err("there is no such set");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(
                error.to_string().starts_with("op 2 of 2, add element inet mesh/absent: there is no set"),
                "{error}"
            );
        }
        assert_eq!(kernel.generation().expect("a generation"), before);
    });
}

#[test]
fn elements_of_another_type_are_refused_before_anything_is_sent() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let mut kernel = Kernel::open().expect("a socket");
        let before = kernel.generation().expect("a generation");
        for set in ["ports", "pairs"] {
            for transaction in [
                Transaction::new().add_elements(&mesh().set(set), [net("10.0.0.0/8")]),
                Transaction::new().delete_elements(&mesh().set(set), [net("10.0.0.0/8")]),
            ] {
                let error = kernel.commit(&transaction).expect_err("another type");
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            }
        }
        assert_eq!(kernel.generation().expect("a generation"), before);
    });
}

#[test]
fn elements_of_a_restored_set_are_encoded_as_it_was_read() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let mut kernel = Kernel::open().expect("a socket");
        let table = kernel.table(&mesh()).expect("an answer").expect("it exists");
        let copy = TableId::new(Family::Inet, "copy");
        let state = Box::new(State::Set(table.set("blocked").expect("it exists").clone()));
        let transaction = Transaction::new()
            .add_table(&copy)
            .operation(Operation::Restore { table: copy.clone(), state })
            .add_elements(&copy.set("blocked"), [net("10.0.0.0/8")]);
        kernel.commit(&transaction).expect("committed");
        let listed = nft("list set inet copy blocked");
        assert!(listed.contains("elements = { 10.0.0.0/8, 192.0.2.0/24 }"), "{listed}");
    });
}

#[test]
fn elements_are_added_beside_another_writer() {
    in_fresh_netns(|| {
        nft_script(SETS);
        let (mut kernel, mut other) = (Kernel::open().expect("a socket"), Kernel::open().expect("a socket"));
        let writer = std::thread::spawn(move || {
            for _ in 0..300 {
                let noise = TableId::new(Family::Ip, "noise");
                other.commit(&Transaction::new().add_table(&noise).delete_table(&noise)).expect("committed");
            }
        });
        for last in 0..100 {
            let net = net(&format!("198.51.100.{last}/32"));
            loop {
                match kernel.commit_echo(&Transaction::new().add_elements(&mesh().set("blocked"), [net])) {
                    Err(error) if error.is_conflict() => {}
                    outcome => break assert_eq!(outcome.expect("committed"), []),
                }
            }
        }
        writer.join().expect("the other writer ends");
        let set = kernel.set(&mesh().set("blocked")).expect("an answer").expect("it exists");
        assert_eq!(set.elements.len(), 101);
    });
}
