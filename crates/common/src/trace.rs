//! Spans over OTLP, off unless `telemetry.otlp_endpoint` names a receiver.
//!
//! In: spans that services begin and end, each under the W3C trace context that travelled to them in a header or a stream
//! entry. Out: batches as OTLP over HTTP (protobuf) to `<endpoint>/v1/traces`, from a thread of their own. Invariants: while it
//! is off a span costs one look at a cell; it never waits for the receiver: spans that do not fit into the queue
//! (`QUEUE_MAX`) or that the receiver does not take are thrown away and counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanProcessor,
};

use crate::config::TelemetrySettings;

/// Finished spans that may wait for the receiver.
const QUEUE_MAX: usize = 2_048;
/// How long the receiver may take for a batch.
const EXPORT_MAX: Duration = Duration::from_secs(3);
/// How long the spans that are left may take at the end of the process.
const FLUSH_MAX: Duration = Duration::from_secs(2);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();
/// Finished spans that are not with the receiver yet.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Keeps the exporter; dropped at the end of `main`, it hands over what is left, within bounds.
#[derive(Debug)]
pub struct Exporter(Option<SdkTracerProvider>);

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            // The receiver may be gone: then these spans are lost, as announced.
            drop(provider.shutdown_with_timeout(FLUSH_MAX));
        }
    }
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: {0}")]
pub struct TraceError(String);

/// Starts the exporter if the settings name a receiver. Before any runtime: its client has a thread of its own.
///
/// # Errors
/// The endpoint is not a URL.
pub fn start(settings: &TelemetrySettings, service: &'static str) -> Result<Exporter, TraceError> {
    if settings.otlp_endpoint.is_empty() {
        return Ok(Exporter(None));
    }
    let endpoint = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_MAX)
        .build()
        .map_err(|error| TraceError(error.to_string()))?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let batches = BatchSpanProcessor::builder(Counted(exporter)).with_batch_config(config).build();
    let root = Sampler::TraceIdRatioBased(settings.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Bounded(batches))
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .with_resource(Resource::builder_empty().with_service_name(service).build())
        .build();
    // A second one in a process (a service built anew) goes on with the first.
    drop(TRACER.set(provider.tracer("oss")));
    Ok(Exporter(Some(provider)))
}

/// Counts what the receiver takes and what it does not.
#[derive(Debug)]
struct Counted(SpanExporter);

impl opentelemetry_sdk::trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.0.export(batch).await;
        WAITING.fetch_sub(spans, Ordering::Relaxed);
        match &result {
            Ok(()) => metrics::counter!("oss_spans_sent_total").increment(spans as u64),
            Err(_) => lost(spans),
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn lost(spans: usize) {
    metrics::counter!("oss_spans_lost_total").increment(spans as u64);
}

/// Throws away what does not fit, and counts it: the queue behind it would only do the first.
#[derive(Debug)]
struct Bounded(BatchSpanProcessor);

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if WAITING.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            return lost(1);
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Whether spans are taken at all: for work that is only done for them.
#[must_use]
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// What a span is to the one that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers a request.
    Server,
    /// It goes on with what came in a stream.
    Consumer,
    /// It is part of the same service's work.
    Internal,
}

/// A span that has begun. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

/// Begins a span that started `since` ago under the context that travelled here; without one it begins a trace. `None` = it is
/// not taken.
#[must_use]
pub fn begin(kind: Kind, name: &'static str, parent: Option<&str>, since: Duration) -> Option<Span> {
    let tracer = TRACER.get()?;
    let kind = match kind {
        Kind::Server => SpanKind::Server,
        Kind::Consumer => SpanKind::Consumer,
        Kind::Internal => SpanKind::Internal,
    };
    let began = SystemTime::now().checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH);
    let parent = parent
        .and_then(context)
        .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    let builder = tracer.span_builder(name).with_kind(kind).with_start_time(began);
    let span = builder.start_with_context(tracer, &parent);
    span.is_recording().then_some(Span(span))
}

/// Records a span per traced request that has just ended, each under its own request's context.
pub fn each<'a>(
    name: &'static str,
    traces: impl IntoIterator<Item = (&'a str, &'a str)>,
    took: Duration,
    facts: &[(&'static str, String)],
) {
    if !is_on() {
        return;
    }
    for (rid, parent) in traces {
        let Some(mut span) = begin(Kind::Consumer, name, Some(parent), took) else { continue };
        span.fact("rid", rid.to_owned());
        for (fact, value) in facts {
            span.fact(fact, value.clone());
        }
    }
}

impl Span {
    /// The context under which what follows from it goes on.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let context = self.0.span_context();
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
    }

    /// Names it once more is known.
    pub fn name(&mut self, name: String) {
        self.0.update_name(name);
    }

    /// Says something of it. Nothing secret: it leaves the process.
    pub fn fact(&mut self, name: &'static str, value: String) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// It belongs to this trace as well.
    pub fn link(&mut self, traceparent: &str) {
        if let Some(context) = context(traceparent) {
            self.0.add_link(context, Vec::new());
        }
    }

    /// What it was for failed.
    pub fn failed(&mut self, code: String) {
        self.0.set_status(Status::error(code));
    }
}

/// A `traceparent` as a context; `None` if it is not one.
fn context(traceparent: &str) -> Option<SpanContext> {
    let trace = crate::telemetry::trace_id(traceparent)?;
    let mut fields = traceparent.split('-').skip(2);
    let (span, flags) = (fields.next()?, fields.next()?);
    Some(SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_it_is_off_no_span_is_taken() {
        assert!(!is_on());
        assert!(begin(Kind::Server, "GET", None, Duration::ZERO).is_none());
        let off = TelemetrySettings::default();
        drop(start(&off, "test").expect("nothing to start"));
        assert!(!is_on());
    }

    #[test]
    fn a_context_is_read_as_it_was_written_and_anything_else_is_none() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = super::context(text).expect("well formed");
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert!(super::context(&text.replace("-01", "-zz")).is_none());
    }
}
