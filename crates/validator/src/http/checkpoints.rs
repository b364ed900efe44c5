//! `GET|POST /v1/checkpoints` and `GET /v1/shards/{shard}/checkpoints/{hash}`: the files in this process' folder.
//!
//! Every process has checkpoints of its own, whether it leads or follows, so each answers for itself. A file is given out
//! in parts; whoever takes one checks it as a start does, against the log (ADR 20).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::hash::Digest;
use common::ids::{Name, Shard};
use common::problem::Problem;
use serde::{Deserialize, Serialize};

use super::command::backpressure;
use super::{Api, blocking, broken, invalid, not_found, path_part, query};
use crate::checkpoint::keeper::folder_of;
use crate::checkpoint::{self, CheckpointError, Folder, Found};
use crate::shard::ShardState;

/// Bytes of a file in one answer.
const PART_BYTES: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    shard: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    from_byte: Option<String>,
}

/// One file.
#[derive(Debug, Serialize)]
struct Checkpoint {
    /// The entry it is after.
    seq: u64,
    /// SHA-256 of the file, and its name.
    hash: Digest,
    /// The entry's digest and root.
    digest: Digest,
    root: Digest,
    bytes: u64,
    /// Log time of the entry, Unix ms.
    time_ms: u64,
    /// When the file was written, Unix ms.
    written_ms: u64,
}

/// The files of one shard, the newest first.
#[derive(Debug, Serialize)]
struct OfShard {
    shard: Shard,
    checkpoints: Vec<Checkpoint>,
    /// Files with the name of a checkpoint that cannot be read.
    unreadable: usize,
}

#[derive(Debug, Serialize)]
struct List {
    /// The process that answers.
    node: Name,
    shards: Vec<OfShard>,
}

impl From<&Found> for Checkpoint {
    fn from(found: &Found) -> Self {
        let (Found { hash, bytes, written_ms, header, .. }, head) = (found, &found.header.head);
        let (seq, digest, root, time_ms) = (header.head.seq, head.digest, head.root, head.time_ms);
        Self { seq, hash: *hash, digest, root, bytes: *bytes, time_ms, written_ms: *written_ms }
    }
}

/// Lists the checkpoints of the process that answers. The key needs the scope read, operate or peer.
#[utoipa::path(
    get,
    path = "/v1/checkpoints",
    operation_id = "checkpoints",
    tag = "shards",
    responses(
        (status = 200, description = "Per shard the files, the newest first: entry, hash, digest, root, bytes, log time, time of writing", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let result = async {
        api.authorize_any(&request, &[Scope::Read, Scope::Operate, Scope::Peer])?;
        let mut shards = Vec::new();
        for shard in Shard::ALL {
            let state = Arc::clone(api.shard(shard)?);
            shards.push(blocking(move || of_shard(&state)).await?);
        }
        Ok(HttpResponse::Ok().json(List { node: api.node.clone(), shards }))
    };
    let result = result.await;
    api.answer(None, result)
}

fn of_shard(state: &ShardState) -> Result<OfShard, Problem> {
    let path = folder_of(state);
    // It is made with the first file.
    let (found, unreadable) = if path.exists() {
        Folder::at(&path).list().map_err(|error| broken(&error))?
    } else {
        Default::default()
    };
    let checkpoints = found.iter().map(Checkpoint::from).collect();
    Ok(OfShard { shard: state.shard, checkpoints, unreadable: unreadable.len() })
}

/// Writes a checkpoint of what the process that answers shows now. The key needs the scope operate.
#[utoipa::path(
    post,
    path = "/v1/checkpoints",
    operation_id = "write_checkpoint",
    tag = "shards",
    params(("shard" = String, Query, description = "Shard")),
    responses(
        (status = 201, description = "The file: entry, hash, digest, root, bytes, log time, time of writing", body = serde_json::Value),
        (status = 409, description = "no_entries: there is nothing to write yet", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn write(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let named = shard_in_query(&request);
    let shard = named.as_ref().ok().copied();
    let result = write_now(&request, &api, named).await;
    api.answer(shard, result)
}

fn shard_in_query(request: &HttpRequest) -> Result<Shard, Problem> {
    let Some(shard) = query::<Where>(request)?.shard else {
        return Err(invalid("#query/shard", "missing", "is required"));
    };
    shard
        .parse()
        .map_err(|error: common::ids::IdError| invalid("#query/shard", "invalid", &error.to_string()))
}

async fn write_now(
    request: &HttpRequest,
    api: &Api,
    shard: Result<Shard, Problem>,
) -> Result<HttpResponse, Problem> {
    api.authorize(request, Scope::Operate)?;
    let state = Arc::clone(api.shard(shard?)?);
    let turn =
        state.try_checkpoint_turn().ok_or_else(|| backpressure("Another checkpoint is being written"))?;
    // Gone with this future: when the client hangs up or the server stops, the writing ends.
    let wanted = Arc::new(());
    let is_wanted = Arc::downgrade(&wanted);
    let written = blocking(move || {
        let _turn = turn;
        let began = Instant::now();
        let written = Folder::open(&folder_of(&state))
            .and_then(|folder| checkpoint::write(&state.view, &folder, &|| is_wanted.strong_count() > 0));
        match &written {
            Ok(Some(written)) => crate::metrics::checkpoint_written(state.shard, written, began.elapsed()),
            Ok(None) | Err(CheckpointError::Stopped) => {}
            Err(error) => crate::metrics::checkpoint_failed(state.shard, error),
        }
        written.map_err(|error| broken(&error))
    });
    let Some(written) = written.await? else {
        return Err(Problem::new(StatusCode::CONFLICT, "no_entries", "The shard has no entry yet"));
    };
    drop(wanted);
    let seq = written.header.head.seq.to_string();
    Ok(super::stamped(HttpResponse::Created().json(Checkpoint::from(&written)), &seq))
}

/// A part of a checkpoint's file. The key needs the scope operate or peer.
#[utoipa::path(
    get,
    path = "/v1/shards/{shard}/checkpoints/{hash}",
    operation_id = "checkpoint",
    tag = "shards",
    params(
        ("shard" = String, Path, description = "Shard"),
        ("hash" = String, Path, description = "SHA-256 of the file, 0x and 64 hex digits"),
        ("from_byte" = Option<u64>, Query, description = "Where the part begins (0); at the file's end it is empty"),
    ),
    responses(
        (status = 200, description = "At most 4 MiB of the file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "The process that answers has no such file (any more)", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn part(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let shard = path_part::<Shard>(&request, "shard");
    let named = shard.as_ref().ok().copied();
    let result = read_part(&request, &api, shard).await;
    api.answer(named, result)
}

async fn read_part(
    request: &HttpRequest,
    api: &Api,
    shard: Result<Shard, Problem>,
) -> Result<HttpResponse, Problem> {
    api.authorize_any(request, &[Scope::Operate, Scope::Peer])?;
    let state = Arc::clone(api.shard(shard?)?);
    let hash = request.match_info().query("hash").parse::<Digest>();
    let hash = hash.map_err(|error| invalid("#path/hash", "invalid", &error.to_string()))?;
    let from_byte = match query::<Begin>(request)?.from_byte.map(|text| text.parse::<u64>()) {
        None => 0,
        Some(Ok(from_byte)) => from_byte,
        Some(Err(error)) => return Err(invalid("#query/from_byte", "invalid", &error.to_string())),
    };
    let part = blocking(move || {
        let path = Folder::at(&folder_of(&state)).find(hash).ok_or_else(gone)?;
        read(&path, from_byte)
    });
    Ok(HttpResponse::Ok().content_type("application/octet-stream").body(part.await?))
}

fn gone() -> Problem {
    not_found("There is no such checkpoint here")
}

fn read(path: &Path, from_byte: u64) -> Result<Vec<u8>, Problem> {
    let opened = || -> std::io::Result<(File, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    };
    let (mut file, bytes) = match opened() {
        Ok(opened) => opened,
        // A newer one has taken its place since it was looked for.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(gone()),
        Err(error) => return Err(broken(&error)),
    };
    if from_byte > bytes {
        return Err(invalid("#query/from_byte", "invalid", &format!("the file has {bytes} bytes")));
    }
    let mut part = Vec::new();
    file.seek(SeekFrom::Start(from_byte))
        .and_then(|_| file.take(PART_BYTES).read_to_end(&mut part))
        .map_err(|error| broken(&error))?;
    Ok(part)
}
