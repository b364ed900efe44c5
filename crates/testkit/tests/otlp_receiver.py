"""Receives spans over OTLP/HTTP and prints each as a JSON line; the first line is the port.

Independent of the program under test: it decodes with the messages that the OpenTelemetry project publishes for Python
(package opentelemetry-proto, in .tools/otlp by scripts/bootstrap.sh test).
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def attributes(pairs):
    return {pair.key: pair.value.string_value for pair in pairs}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for group in request.resource_spans:
            service = attributes(group.resource.attributes).get("service.name")
            for span in (span for scope in group.scope_spans for span in scope.spans):
                line = {
                    "path": self.path,
                    "type": self.headers["content-type"],
                    "service": service,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "links": [link.trace_id.hex() for link in span.links],
                }
                print(json.dumps(line), flush=True)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
