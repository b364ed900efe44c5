use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, RedisSettings, environment, layered};

const DEFAULTS: &str = r#"
instance = ""
file = "keys.json"

[limits]
count = 1
ratio = 0.5
is_on = false
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    instance: String,
    file: PathBuf,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    count: u64,
    ratio: f64,
    is_on: bool,
}

fn load(variables: &[(&str, &str)], parses: bool) -> Result<Settings, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = environment().source(Some(variables.collect())).try_parsing(parses);
    layered(DEFAULTS, None, environment).map_err(|error| error.to_string())
}

/// Host names of containers, which look like numbers now and then.
const NAMES: [&str; 6] = ["123e45678901", "1e3", "0042", "inf", "true", "1.50"];

#[test]
fn a_text_in_a_variable_keeps_its_characters() {
    for name in NAMES {
        let settings = load(&[("OSS__INSTANCE", name), ("OSS__FILE", name)], false).unwrap();
        assert_eq!((settings.instance.as_str(), settings.file.to_str()), (name, Some(name)));
    }
}

#[test]
fn control_variables_that_are_parsed_first_lose_characters() {
    let is_changed =
        |name: &str| load(&[("OSS__INSTANCE", name)], true).is_ok_and(|settings| settings.instance != name);
    assert!(NAMES.into_iter().filter(|name| is_changed(name)).count() >= 3);
}

#[test]
fn numbers_and_flags_are_read_where_one_is_wanted_and_refused_otherwise() {
    let settings = load(
        &[("OSS__LIMITS__COUNT", "42"), ("OSS__LIMITS__RATIO", "0.25"), ("OSS__LIMITS__IS_ON", "true")],
        false,
    )
    .unwrap();
    let Limits { count, ratio, is_on } = settings.limits;
    assert_eq!((count, ratio.to_bits(), is_on), (42, 0.25_f64.to_bits(), true));
    for (name, value) in
        [("OSS__LIMITS__COUNT", "many"), ("OSS__LIMITS__COUNT", "-1"), ("OSS__LIMITS__NONE", "1")]
    {
        let error = load(&[(name, value)], false).expect_err("refused");
        let field = name.rsplit("__").next().unwrap().to_lowercase();
        assert!(error.to_lowercase().contains(&field), "{field} in {error}");
    }
}

fn redis(url: &str) -> RedisSettings {
    let (username, password_file) = (None, None);
    let url = url.to_owned();
    RedisSettings { url, username, password_file, ca_file: None, cert_file: None, key_file: None }
}

fn faults(settings: &RedisSettings) -> Vec<String> {
    match settings.address() {
        Err(ConfigError::Faults(faults)) => faults,
        _ => Vec::new(),
    }
}

#[test]
fn redis_settings_that_do_not_fit_together_are_all_named() {
    let file = || Some(PathBuf::from("some.pem"));
    assert!(redis("redis://127.0.0.1/0").address().is_ok());
    let named = RedisSettings { username: Some("collector".to_owned()), ..redis("redis://127.0.0.1/0") };
    assert!(named.address().is_ok());
    // Certificates that would be left out without a word.
    assert_eq!(faults(&RedisSettings { ca_file: file(), ..redis("redis://127.0.0.1/0") }).len(), 1);
    assert_eq!(faults(&RedisSettings { cert_file: file(), ..redis("redis://127.0.0.1/0") }).len(), 2);
    assert_eq!(faults(&RedisSettings { key_file: file(), ..redis("rediss://127.0.0.1/0") }).len(), 1);
    // A password in a URL ends up in logs; two users are one too many.
    assert_eq!(faults(&redis("redis://collector:secret@127.0.0.1/0")).len(), 1);
    assert_eq!(faults(&RedisSettings { url: "redis://other@127.0.0.1/0".to_owned(), ..named }).len(), 1);
    assert!(matches!(redis("not a URL").address(), Err(ConfigError::Redis(_))));
}
