//! TLS to Redis, by the settings of a service, against a server that asks its clients for certificates; those are made by
//! `deploy/make-ca.sh`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::config::RedisSettings;
use common::ids::Shard;
use common::link::{Commands, Feed, LinkError, ReadFrom};
use testkit::redis::{RedisOptions, RedisServer, Tls};

use crate::bed::{Check, name};

/// An authority of its own with certificates for a server at 127.0.0.1.
fn authority(folder: &Path) -> Check {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/make-ca.sh");
    let made = Command::new(script).arg(folder).arg("127.0.0.1").output()?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

struct Place {
    _folder: tempfile::TempDir,
    ours: PathBuf,
    others: PathBuf,
    port: u16,
    _server: RedisServer,
}

fn place() -> Check<Place> {
    let folder = tempfile::tempdir()?;
    let (ours, others) = (folder.path().join("ours"), folder.path().join("others"));
    authority(&ours)?;
    authority(&others)?;
    let port = testkit::ports::free()?;
    let tls = Tls {
        port,
        ca: ours.join("ca.crt"),
        certificate: ours.join("redis.crt"),
        key: ours.join("redis.key"),
    };
    let server = RedisServer::start(RedisOptions { tls: Some(tls), ..RedisOptions::default() })?;
    Ok(Place { _folder: folder, ours, others, port, _server: server })
}

fn settings(place: &Place) -> RedisSettings {
    RedisSettings {
        url: format!("rediss://127.0.0.1:{}/0", place.port),
        username: None,
        password_file: None,
        ca_file: Some(place.ours.join("ca.crt")),
        cert_file: Some(place.ours.join("collector.crt")),
        key_file: Some(place.ours.join("collector.key")),
    }
}

async fn barrier(settings: &RedisSettings) -> Check<Result<(), LinkError>> {
    let address = settings.address()?;
    let commands = match Commands::connect(&address, &name("collector-1")).await {
        Ok(commands) => commands,
        Err(error) => return Ok(Err(error)),
    };
    let link = commands.shard(Shard::Financial);
    if let Err(error) = link.barrier().await {
        return Ok(Err(error));
    }
    let read = link.reader(Duration::from_millis(5)).read(&[(Feed::Status, ReadFrom::New)], 1).await;
    Ok(read.map(drop))
}

#[tokio::test]
async fn a_service_reaches_redis_over_tls_with_a_certificate_of_its_own_and_not_without() -> Check {
    let place = place()?;
    barrier(&settings(&place)).await??;
    let refused: [(&str, RedisSettings); 5] = [
        ("without TLS", {
            let url = format!("redis://127.0.0.1:{}/0", place.port);
            RedisSettings { url, ca_file: None, cert_file: None, key_file: None, ..settings(&place) }
        }),
        ("another authority's server", {
            RedisSettings { ca_file: Some(place.others.join("ca.crt")), ..settings(&place) }
        }),
        ("no authority but the system's", RedisSettings { ca_file: None, ..settings(&place) }),
        ("without a certificate", RedisSettings { cert_file: None, key_file: None, ..settings(&place) }),
        ("another authority's client", {
            let other = |file: &str| Some(place.others.join(file));
            RedisSettings {
                cert_file: other("collector.crt"),
                key_file: other("collector.key"),
                ..settings(&place)
            }
        }),
    ];
    for (what, settings) in refused {
        assert!(barrier(&settings).await?.is_err(), "{what}");
    }
    // A name that is not in the server's certificate.
    let url = format!("rediss://localhost:{}/0", place.port);
    assert!(barrier(&RedisSettings { url, ..settings(&place) }).await?.is_err());
    Ok(())
}

#[test]
fn what_is_not_a_certificate_is_refused_before_anything_connects() -> Check {
    let folder = tempfile::tempdir()?;
    authority(folder.path())?;
    let file = |name: &str| Some(folder.path().join(name));
    let good = RedisSettings {
        url: "rediss://127.0.0.1:1/0".to_owned(),
        username: None,
        password_file: None,
        ca_file: file("ca.crt"),
        cert_file: file("collector.crt"),
        key_file: file("collector.key"),
    };
    assert!(good.address().is_ok());
    assert!(RedisSettings { key_file: file("collector.crt"), ..good.clone() }.address().is_err());
    assert!(RedisSettings { key_file: file("missing.key"), ..good.clone() }.address().is_err());
    assert!(RedisSettings { ca_file: file("missing.crt"), ..good }.address().is_err());
    Ok(())
}

#[test]
fn the_authority_is_made_once_and_adds_what_is_missing() -> Check {
    let folder = tempfile::tempdir()?;
    authority(folder.path())?;
    let read = |name: &str| std::fs::read(folder.path().join(name));
    let (ca, collector) = (read("ca.crt")?, read("collector.crt")?);
    std::fs::remove_file(folder.path().join("admin.crt"))?;
    authority(folder.path())?;
    assert_eq!((read("ca.crt")?, read("collector.crt")?), (ca, collector));
    assert!(read("admin.crt").is_ok());
    Ok(())
}
