// A rust-libp2p node for the conformance harness: it serves what the library has, dials nobody, and ends with its input.
// Arguments: the topics of gossipsub to join. The first line it prints is `ready`, as README.md one folder up has it.

use std::{env, error::Error, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, autonat, dcutr, gossipsub, identify,
    kad::{self, store::MemoryStore},
    noise, ping, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};
use tokio::io::{AsyncReadExt, stdin};

const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
const LIFETIME: Duration = Duration::from_secs(600);

#[derive(NetworkBehaviour)]
struct Behaviour {
    autonat: autonat::v1::Behaviour,
    autonat2: autonat::v2::server::Behaviour,
    dcutr: dcutr::Behaviour,
    gossipsub: gossipsub::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    ping: ping::Behaviour,
    relay: relay::Behaviour,
    relay_client: relay::client::Behaviour,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            (tls::Config::new, noise::Config::new),
            yamux::Config::default,
        )?
        .with_quic()
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key, relay_client| {
            let peer = key.public().to_peer_id();
            let mut kad = kad::Behaviour::with_config(
                peer,
                MemoryStore::new(peer),
                kad::Config::new(StreamProtocol::new("/ipfs/kad/1.0.0")),
            );
            kad.set_mode(Some(kad::Mode::Server));
            Ok(Behaviour {
                autonat: autonat::v1::Behaviour::new(peer, autonat::v1::Config::default()),
                autonat2: autonat::v2::server::Behaviour::default(),
                dcutr: dcutr::Behaviour::new(peer),
                gossipsub: gossipsub::Behaviour::new(
                    gossipsub::MessageAuthenticity::Signed(key.clone()),
                    gossipsub::Config::default(),
                )?,
                identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
                kad,
                ping: ping::Behaviour::new(ping::Config::new()),
                relay: relay::Behaviour::new(peer, unhurried()),
                relay_client,
            })
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    for topic in env::args().skip(1) {
        swarm.behaviour_mut().gossipsub.subscribe(&gossipsub::IdentTopic::new(topic))?;
    }
    for address in LISTEN {
        swarm.listen_on(address.parse()?)?;
    }
    let mut told: Vec<Multiaddr> = Vec::new();
    let mut input = [0u8; 1024];
    let mut stdin = stdin();
    let end = tokio::time::sleep(LIFETIME);
    tokio::pin!(end);
    loop {
        tokio::select! {
            read = stdin.read(&mut input) => if read? == 0 { return Ok(()) },
            () = &mut end => return Err("its time is over".into()),
            event = swarm.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event {
                swarm.add_external_address(address.clone());
                told.push(address);
                if told.len() == LISTEN.len() {
                    told.sort_by_key(|each| each.to_string().contains("quic"));
                    ready(*swarm.local_peer_id(), &told);
                }
            },
        }
    }
}

fn ready(peer: PeerId, addresses: &[Multiaddr]) {
    let addresses: Vec<String> = addresses.iter().map(|each| format!("\"{each}/p2p/{peer}\"")).collect();
    println!("{{\"event\":\"ready\",\"peer\":\"{peer}\",\"addrs\":[{}]}}", addresses.join(","));
}

/// A relay that turns nobody away for asking often: all who try it here come from one address.
fn unhurried() -> relay::Config {
    relay::Config {
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    }
}
