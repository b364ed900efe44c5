//! The requests, as a function of the seed.

use common::hash::Digest;
use common::ids::{AssetId, IdempotencyKey, Rid, Tenant};
use common::request::SyncRequest;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// Two assets in each shard.
pub const ASSETS: [&str; 8] = [
    "bond:e2e-a",
    "stock:e2e-b",
    "game_item:e2e-c",
    "virtual_asset:e2e-d",
    "real_estate:e2e-e",
    "real_estate:e2e-f",
    "invoice:e2e-g",
    "carbon_credit:e2e-h",
];
const ACCOUNTS: u32 = 6;
/// What every account gets with the registration; amounts of later requests are small beside it.
const ENDOWMENT: u64 = 1_000_000;
const AMOUNT_MAX: u64 = 1_000;
/// More than there ever is.
const TOO_MUCH: &str = "999999999999999999";

/// What the requests are about.
#[derive(Debug, Clone)]
pub struct Shape {
    pub seed: u64,
    /// Whose key sends them.
    pub tenant: Tenant,
    /// Chains of every asset.
    pub chains: Vec<String>,
    /// A source that needs asking, and how many of 100 requests name it.
    pub source: Option<(&'static str, u32)>,
}

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub struct Planned {
    pub key: String,
    pub rid: Rid,
    pub fp: Digest,
    pub body: Value,
    /// The code it must be rejected with, whatever happens to other requests.
    pub doomed: Option<&'static str>,
}

impl Planned {
    /// A request of one's own under a key; `None` = the collector would not take it.
    #[must_use]
    pub fn new(tenant: &Tenant, key: &str, body: Value) -> Option<Self> {
        let (request, idempotency) = (SyncRequest::parse(&body).ok()?, key.parse().ok()?);
        let rid = Rid::from_key(tenant, &idempotency, request.shard());
        Some(Self { key: key.to_owned(), rid, fp: request.fingerprint(), body, doomed: None })
    }
}

/// Makes requests; the same shape gives the same ones.
#[derive(Debug)]
pub struct Generator {
    shape: Shape,
    random: StdRng,
    made: u64,
    /// Ids by asset of requests without a source, which a later one may depend on.
    earlier: Vec<Vec<Rid>>,
}

impl Generator {
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let random = StdRng::seed_from_u64(shape.seed);
        Self { shape, random, made: 0, earlier: vec![Vec::new(); ASSETS.len()] }
    }

    /// The first requests: each asset registered and every account endowed. They must be decided before others are sent.
    pub fn registrations(&mut self) -> Vec<Planned> {
        let chains = self.shape.chains.clone();
        let mints = |asset: &str| {
            let mint =
                |account| json!({"kind": "MINT", "to": name(account), "amount": ENDOWMENT.to_string()});
            let mut changes = vec![json!({"kind": "REGISTER", "decimals": 2, "chains": chains})];
            changes.extend((0..ACCOUNTS).map(mint));
            json!({"asset": {"id": asset}, "state_changes": changes})
        };
        ASSETS.into_iter().map(|asset| (asset, mints(asset))).map(|(_, body)| self.plan(body, None)).collect()
    }

    /// The next request.
    pub fn request(&mut self) -> Planned {
        let index = self.random.random_range(0..ASSETS.len());
        let asset = ASSETS.get(index).copied().unwrap_or_default();
        if self.random.random_range(0..100) < 8 {
            return self.doomed(asset);
        }
        let mut body = json!({"asset": {"id": asset}, "state_changes": self.changes()});
        let is_collected = self.name_source(&mut body);
        let earlier = self.earlier.get(index).map_or(&[][..], Vec::as_slice);
        if !is_collected && !earlier.is_empty() && self.random.random_range(0..100) < 10 {
            let of = self.random.random_range(0..earlier.len());
            if let Some(rid) = earlier.get(of) {
                set(&mut body, "depends_on", json!([rid]));
            }
        }
        let planned = self.plan(body, None);
        if !is_collected && let Some(earlier) = self.earlier.get_mut(index) {
            earlier.push(planned.rid);
        }
        planned
    }

    fn changes(&mut self) -> Value {
        let (first, step) = (self.random.random_range(0..ACCOUNTS), self.random.random_range(1..ACCOUNTS));
        let (from, to) = (name(first), name((first + step) % ACCOUNTS));
        let amount = self.random.random_range(1..=AMOUNT_MAX).to_string();
        match self.random.random_range(0..100) {
            0..55 => json!([{"kind": "TRANSFER", "from": from, "to": to, "amount": amount}]),
            55..70 => json!([{"kind": "MINT", "to": to, "amount": amount}]),
            70..80 => json!([{"kind": "BURN", "from": from, "amount": amount}]),
            80..90 => json!([{"kind": "SET_DATA", "terms": {format!("note.{first}"): amount}}]),
            _ => json!([
                {"kind": "MINT", "to": from, "amount": amount},
                {"kind": "TRANSFER", "from": from, "to": to, "amount": amount},
            ]),
        }
    }

    /// A request that nothing can save.
    fn doomed(&mut self, asset: &str) -> Planned {
        let transfer = json!([{"kind": "TRANSFER", "from": name(0), "to": name(1), "amount": "1"}]);
        let (mut body, code) = match self.random.random_range(0..5) {
            0 => {
                let burn = json!([{"kind": "BURN", "from": name(0), "amount": TOO_MUCH}]);
                (json!({"asset": {"id": asset}, "state_changes": burn}), "INSUFFICIENT_BALANCE")
            }
            1 => {
                let again = json!([{"kind": "REGISTER", "decimals": 2, "chains": self.shape.chains}]);
                (json!({"asset": {"id": asset}, "state_changes": again}), "ALREADY_REGISTERED")
            }
            2 => {
                let body = json!({"asset": {"id": asset}, "state_changes": transfer, "expected_version": 4_000_000_000_u64});
                (body, "VERSION_MISMATCH")
            }
            3 => (
                json!({"asset": {"id": format!("{asset}-none")}, "state_changes": transfer}),
                "NOT_REGISTERED",
            ),
            _ => {
                let itself = self.rid(&self.key(self.made + 1), asset);
                let body = json!({"asset": {"id": asset}, "state_changes": transfer, "depends_on": [itself]});
                (body, "ORDERING_CYCLE")
            }
        };
        self.name_source(&mut body);
        self.plan(body, Some(code))
    }

    fn name_source(&mut self, body: &mut Value) -> bool {
        let Some((source, percent)) = self.shape.source else { return false };
        let is_named = self.random.random_range(0..100) < percent;
        if is_named {
            set(body, "external_apis", json!([source]));
        }
        is_named
    }

    fn rid(&self, key: &str, asset: &str) -> Rid {
        let key: IdempotencyKey = key.parse().expect("a key of letters and digits is well formed");
        let asset: AssetId = asset.parse().expect("the assets above are well formed");
        Rid::from_key(&self.shape.tenant, &key, asset.shard())
    }

    fn key(&self, number: u64) -> String {
        format!("load-{}-{number}", self.shape.seed)
    }

    fn plan(&mut self, body: Value, doomed: Option<&'static str>) -> Planned {
        self.made += 1;
        let key = self.key(self.made);
        let request = SyncRequest::parse(&body).expect("the generator makes well-formed requests");
        let rid = self.rid(&key, request.asset.id.as_str());
        Planned { key, rid, fp: request.fingerprint(), body, doomed }
    }
}

fn name(account: u32) -> String {
    format!("acct:{account}")
}

fn set(body: &mut Value, field: &str, value: Value) {
    if let Some(object) = body.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shape(seed: u64) -> Shape {
        let tenant = "demo".parse().expect("a tenant");
        Shape { seed, tenant, chains: vec!["base".to_owned()], source: Some(("quiet", 30)) }
    }

    #[test]
    fn one_seed_gives_one_load_with_every_kind_in_every_shard() {
        let make = |seed| {
            let mut generator = Generator::new(shape(seed));
            generator.registrations();
            (0..2_000).map(|_| generator.request()).collect::<Vec<_>>()
        };
        let load = make(7);
        let bodies = |load: &[Planned]| load.iter().map(|planned| planned.body.clone()).collect::<Vec<_>>();
        assert_eq!(bodies(&load), bodies(&make(7)));
        assert_ne!(bodies(&load), bodies(&make(8)));
        let shards: BTreeSet<u8> = load.iter().map(|planned| planned.rid.shard().number()).collect();
        assert_eq!(shards.len(), 4);
        let codes: BTreeSet<&str> = load.iter().filter_map(|planned| planned.doomed).collect();
        assert_eq!(codes.len(), 5);
        let rids: BTreeSet<Rid> = load.iter().map(|planned| planned.rid).collect();
        assert_eq!(rids.len(), load.len());
        let count = |field: &str| load.iter().filter(|planned| planned.body.get(field).is_some()).count();
        assert!(count("depends_on") > 50 && count("external_apis") > 300);
    }
}
