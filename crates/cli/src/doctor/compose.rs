//! Whether the doctor of `docker-compose.yml` is called with options that exist and pointed at what is there.

#![cfg(test)]

use std::collections::BTreeMap;

use clap::Parser as _;

use super::{PASSWORD_FILE, VALIDATOR_KEY_FILE};
use crate::args::{Cli, Command, DoctorArgs};

/// Service → its lines, as the file has them.
fn services() -> BTreeMap<String, Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker-compose.yml");
    let text = std::fs::read_to_string(path).expect("the compose file");
    let (mut found, mut name, mut is_inside) = (BTreeMap::<String, Vec<String>>::new(), String::new(), false);
    for line in text.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            is_inside = line == "services:";
        }
        let key = line.strip_prefix("  ").filter(|key| !key.starts_with([' ', '#']));
        match key.and_then(|key| key.strip_suffix(':')) {
            Some(key) if is_inside => key.clone_into(&mut name),
            _ if is_inside => found.entry(name.clone()).or_default().push(line.trim().to_owned()),
            _ => {}
        }
    }
    found
}

/// The value of a service's field that stands on one line.
fn field<'a>(service: &'a [String], name: &str) -> &'a str {
    service.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

fn doctor(service: &[String]) -> DoctorArgs {
    let words: Vec<String> = serde_json::from_str(field(service, "entrypoint")).expect("a list of words");
    // With what a person adds behind it.
    let words = words.into_iter().chain(["-o".to_owned(), "json".to_owned()]);
    match Cli::try_parse_from(words).expect("options that exist").command {
        Command::Doctor(args) => args,
        other => unreachable!("{other:?} is another command"),
    }
}

#[test]
fn the_doctor_of_the_compose_file_reaches_what_it_looks_at() {
    let services = services();
    let own = &services["doctor"];
    let args = doctor(own);
    let networks = |service: &[String]| field(service, "networks").trim_matches(['[', ']']).to_owned();
    let shares = |name: &str| {
        let theirs = services.get(name).map(|service| networks(service)).unwrap_or_default();
        // A service's networks come from the shared part.
        let theirs = if theirs.is_empty() { "data, internal".to_owned() } else { theirs };
        theirs.split(", ").any(|network| networks(own).split(", ").any(|one| one == network))
    };
    let mut urls: Vec<(String, String)> =
        args.admin.iter().map(|named| (named.name.to_string(), named.url.clone())).collect();
    urls.push(("redis".to_owned(), args.redis_url.expect("a URL")));
    urls.push(("proxy".to_owned(), field(own, "OSS_URL").to_owned()));
    assert_eq!(urls.len(), 5);
    for (name, url) in urls {
        let place = url.split_once("://").expect("a URL").1.split('/').next().expect("a place");
        let (host, port) = place.split_once(':').expect("a port");
        assert_eq!(host, name, "{url}");
        assert!(services.contains_key(host) && shares(host), "{host} is not reached");
        let text = services[host].join("\n");
        let is_known = text.contains(&format!(":{port}")) || host == "redis" && port == "6379";
        assert!(is_known, "{host} does not listen at {port}");
    }
    // The stack's folder is where init has written it, with the secrets that are read.
    let mounts: Vec<(&str, &str)> =
        own.iter().filter_map(|line| line.strip_prefix("- ")?.strip_suffix(":ro")?.split_once(':')).collect();
    let written: Vec<(&str, &str)> =
        services["init"].iter().filter_map(|line| line.strip_prefix("- ")?.split_once(':')).collect();
    assert!(mounts.iter().all(|mount| written.contains(mount)), "{mounts:?} {written:?}");
    for file in [crate::access::STACK_FILE, PASSWORD_FILE, VALIDATOR_KEY_FILE] {
        let path = format!("{}/{file}", field(own, "OSS_DATA"));
        let folder = path.rsplit_once('/').expect("a folder").0;
        assert!(mounts.iter().any(|(_, at)| *at == folder), "{path} is in none of {mounts:?}");
    }
}
