//! A loopback proxy before Redis that does one harm when armed: it loses a request or a reply, or kills the
//! server around a request.

use std::sync::{Arc, Mutex, PoisonError};

use testkit::redis::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bed::locked;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The next request never arrives.
    LoseRequest,
    /// The next request is done, its reply never arrives.
    LoseReply,
    /// The connection takes the next request and whatever follows and never says anything again.
    Silence,
    /// The server dies before the next request arrives.
    KillBefore,
    /// The server dies at some moment while it has the next request.
    KillDuring,
    /// The server dies after its reply to the next request, which never arrives.
    KillAfter,
}

pub(crate) struct Proxy {
    port: u16,
    armed: Arc<Mutex<Option<Harm>>>,
}

impl Proxy {
    pub(crate) async fn before(server: &Arc<Mutex<RedisServer>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let armed = Arc::new(Mutex::new(None));
        let (server, shared) = (Arc::clone(server), Arc::clone(&armed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&server), Arc::clone(&shared)));
            }
        });
        Self { port, armed }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Does `harm` at the next request of any connection, once.
    pub(crate) fn arm(&self, harm: Harm) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(harm);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Any error just ends the connection, which is what a proxy is for.
async fn carry(mut client: TcpStream, server: Arc<Mutex<RedisServer>>, armed: Arc<Mutex<Option<Harm>>>) {
    let port = locked(&server).port();
    let Ok(mut redis) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut request, mut reply) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let harm = armed.lock().unwrap_or_else(PoisonError::into_inner).take();
                if harm == Some(Harm::Silence) {
                    while client.read(&mut request).await.is_ok_and(|length| length > 0) {}
                    return;
                }
                if let Some(harm) = harm {
                    return do_harm(harm, &mut redis, &request[..length], &server).await;
                }
                if redis.write_all(&request[..length]).await.is_err() { return; }
            }
            read = redis.read(&mut reply) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&reply[..length]).await.is_err() { return; }
            }
        }
    }
}

async fn do_harm(harm: Harm, redis: &mut TcpStream, request: &[u8], server: &Mutex<RedisServer>) {
    let passes_on = matches!(harm, Harm::LoseReply | Harm::KillDuring | Harm::KillAfter);
    let waits = matches!(harm, Harm::LoseReply | Harm::KillAfter);
    let kills = matches!(harm, Harm::KillBefore | Harm::KillDuring | Harm::KillAfter);
    if passes_on {
        redis.write_all(request).await.expect("redis takes the request");
    }
    if waits {
        let length = redis.read(&mut [0; 64]).await.expect("redis answers");
        assert!(length > 0, "redis hung up");
    }
    if kills {
        locked(server).kill().expect("redis is killed");
    }
}
