//! What a commit costs, against its floor (the same bytes sent again) and against `nft -f` of the same text, in one run.
fn main() {
    use nftmesh::kernel::Kernel;
    use nftmesh::model::*;
    use nftmesh::plan::Transaction;
    use std::time::Instant;
    let mut kernel = Kernel::open().expect("open");
    let rules = |n: u32| {
        let chain =
            Chain::regular("c").rules((0..n).map(|i| {
                Rule::new().ip_daddr(std::net::Ipv4Addr::from(0x0a00_0000 + i)).tcp_dport(80).counter().accept()
            }));
        Ruleset::new().table(Table::new(Family::Inet, "b").chain(chain))
    };
    let intervals = |n: u32| {
        let elements = (0..n).map(|i| {
            Element::new(Interval {
                low: Value::Ipv4((0x0a00_0000 + 8 * i).into()),
                high: Value::Ipv4((0x0a00_0003 + 8 * i).into()),
            })
        });
        Ruleset::new()
            .table(Table::new(Family::Inet, "b").set(Set::new("s", [DataType::Ipv4]).interval().elements(elements)))
    };
    for (name, ruleset, n) in [("10,000 rules", rules(10_000), 15), ("100,000 intervals", intervals(100_000), 15)] {
        let tx = Transaction::replace(ruleset);
        let (mut floor, mut full, mut enc) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            let p = kernel.prepare(&tx).expect("prep");
            let t = Instant::now();
            kernel.commit_prepared(&p).expect("c");
            floor.push(t.elapsed());
            drop(p);
            let t = Instant::now();
            kernel.commit(&tx).expect("c");
            full.push(t.elapsed());
            let t = Instant::now();
            let _p = kernel.prepare(&tx).expect("prep");
            enc.push(t.elapsed());
        }
        floor.sort();
        full.sort();
        enc.sort();
        println!(
            "{name}: floor {:?} full {:?} enc {:?} ratio {:.3}",
            floor[n / 2],
            full[n / 2],
            enc[n / 2],
            full[n / 2].as_secs_f64() / floor[n / 2].as_secs_f64()
        );
    }
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status").expect("s").lines().find(|l| l.starts_with("VmHWM")).expect("x")
    );
}
