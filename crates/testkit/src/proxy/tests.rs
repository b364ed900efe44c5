use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(5);
/// Long enough for bytes on loopback; what must not arrive is waited for this long.
const A_WHILE: Duration = Duration::from_millis(100);

/// A server that answers every byte with the next one, and tells what it has read.
async fn server() -> (SocketAddr, watch::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (seen, seen_by) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    seen.send_modify(|all| all.push(byte));
                    if stream.write_u8(byte + 1).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen_by)
}

async fn stack() -> (Proxy, watch::Receiver<Vec<u8>>) {
    let (address, seen) = server().await;
    (Proxy::start(address).await.expect("starts"), seen)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("connects")
}

async fn saw(seen: &mut watch::Receiver<Vec<u8>>, byte: u8) {
    let arrived = seen.wait_for(|all| all.contains(&byte));
    timeout(SOON, arrived).await.expect("the server sees it").expect("the server lives");
}

#[tokio::test]
async fn an_open_path_passes_both_ways_and_a_slow_one_later() {
    let (proxy, _seen) = stack().await;
    let mut stream = connect(&proxy).await;
    stream.write_u8(1).await.expect("writes");
    assert_eq!(timeout(SOON, stream.read_u8()).await.expect("soon").expect("reads"), 2);
    proxy.set(Path::Slow(A_WHILE));
    let sent = std::time::Instant::now();
    stream.write_u8(3).await.expect("writes");
    assert_eq!(timeout(SOON, stream.read_u8()).await.expect("soon").expect("reads"), 4);
    assert!(sent.elapsed() >= 2 * A_WHILE, "there and back");
}

#[tokio::test]
async fn what_a_held_path_holds_arrives_when_it_opens() {
    for held in [Path::Held, Path::RequestsHeld] {
        let (proxy, mut seen) = stack().await;
        let mut stream = connect(&proxy).await;
        stream.write_u8(1).await.expect("writes");
        stream.read_u8().await.expect("reads");
        proxy.set(held);
        stream.write_u8(7).await.expect("writes");
        assert!(timeout(A_WHILE, stream.read_u8()).await.is_err(), "nothing comes back");
        assert_eq!(*seen.borrow(), [1], "nothing arrives");
        proxy.set(Path::Open);
        assert_eq!(timeout(SOON, stream.read_u8()).await.expect("soon").expect("reads"), 8);
        saw(&mut seen, 7).await;
    }
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_has_arrived_and_its_connection_breaks() {
    let (proxy, mut seen) = stack().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Path::AnswersLost);
    stream.write_u8(5).await.expect("writes");
    saw(&mut seen, 5).await;
    let answer = timeout(SOON, stream.read_u8()).await.expect("soon");
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_cut_path_breaks_old_and_new_connections_until_it_opens() {
    let (proxy, seen) = stack().await;
    let mut old = connect(&proxy).await;
    old.write_u8(1).await.expect("writes");
    old.read_u8().await.expect("reads");
    proxy.set(Path::Cut);
    assert!(timeout(SOON, old.read_u8()).await.expect("soon").is_err());
    let mut new = connect(&proxy).await;
    let answer = timeout(SOON, new.read_u8()).await.expect("soon");
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(*seen.borrow(), [1]);
    proxy.set(Path::Open);
    let mut again = connect(&proxy).await;
    again.write_u8(3).await.expect("writes");
    assert_eq!(timeout(SOON, again.read_u8()).await.expect("soon").expect("reads"), 4);
}
