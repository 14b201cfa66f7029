//! smoke
use nftmesh::kernel::routed;
use nftmesh::mesh::istio::{InboundPorts, Interception, IstioConfig, ServiceCidrs};
use nftmesh::mesh::routes::RoutePlan;
use nftmesh::model::Ruleset;
use nftmesh::sim::{Host, Rules, Walker};
#[test]
fn smoke() {
    for i in [Interception::Redirect, Interception::Tproxy] {
        let config = IstioConfig::builder()
            .service_cidrs(ServiceCidrs::All)
            .ipv6()
            .interception(i)
            .inbound_ports(InboundPorts::All { except: [15020, 15021, 15090].into_iter().collect() })
            .build()
            .unwrap();
        let rules = Rules::try_from(&Ruleset::from(&config)).unwrap();
        let host = routed(
            Host::pod(["10.77.0.2/24".parse().unwrap(), "fd77::2/64".parse().unwrap()]),
            &RoutePlan::from(&config),
        );
        let mut w = Walker::new(&rules, &host);
        println!("{}", w.receive("tcp 10.77.0.9:40000 -> 10.77.0.2:9000".parse().unwrap(), "eth0"));
        println!(
            "{}",
            w.send("tcp 10.77.0.2:9000 -> 10.77.0.9:40000 flags syn,ack uid 1337 gid 1337".parse().unwrap())
        );
        println!("{}", w.receive("tcp 10.77.0.9:40000 -> 10.77.0.2:9000 flags ack".parse().unwrap(), "eth0"));
        println!("{}", w.send("tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000".parse().unwrap()).short());
        println!("{}", w.send("tcp 10.77.0.2:40001 -> 10.77.0.2:9000 uid 1337 gid 1337".parse().unwrap()).short());
    }
}
