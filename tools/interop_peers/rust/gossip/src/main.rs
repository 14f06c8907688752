// A gossipsub router of one release of rust-libp2p, to tell releases apart: it joins the topics given as arguments.
// It dials nobody and ends with its input. The first line it prints is `ready`, as README.md two folders up has it.

use std::{env, error::Error, time::Duration};

use futures::StreamExt;
use libp2p::{
    gossipsub, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::io::{stdin, AsyncReadExt};

const LIFETIME: Duration = Duration::from_secs(600);

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossipsub: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            Ok(Behaviour {
                gossipsub: gossipsub::Behaviour::new(
                    gossipsub::MessageAuthenticity::Signed(key.clone()),
                    gossipsub::Config::default(),
                )?,
                identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
                ping: ping::Behaviour::new(ping::Config::new()),
            })
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    for topic in env::args().skip(1) {
        swarm.behaviour_mut().gossipsub.subscribe(&gossipsub::IdentTopic::new(topic))?;
    }
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let peer = *swarm.local_peer_id();
    let mut input = [0u8; 1024];
    let mut stdin = stdin();
    let end = tokio::time::sleep(LIFETIME);
    tokio::pin!(end);
    loop {
        tokio::select! {
            read = stdin.read(&mut input) => if read? == 0 { return Ok(()) },
            () = &mut end => return Err("its time is over".into()),
            event = swarm.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event {
                println!("{{\"event\":\"ready\",\"peer\":\"{peer}\",\"addrs\":[\"{address}/p2p/{peer}\"]}}");
            },
        }
    }
}
