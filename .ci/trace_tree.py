#!/usr/bin/env python3
"""Makes calls with a known traceparent, and checks what the collector received.

    trace_tree.py COLLECTOR FOLLOWME

Starts the collector (OTLP receiver, file exporter), `followme simulate` and `followme serve`, makes
a call that is sampled and one that is not, ends followme, and checks that the file holds one tree:
the caller's span, the server's, and below it one span for each request that the simulator saw, with
the parent that it saw.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TIMEOUT = 30  # seconds
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVICE = "porta.followme.v1.FollowMeService"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A process that is ended with the check."""

    def __init__(self, *command, **environment):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def address(self, start):
        """Returns what follows the start of a line."""
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                line = self.lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                sys.exit(f"did not say {start!r}:\n{self.text()}")
            if line.startswith(start):
                return line.removeprefix(start).strip()

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(TIMEOUT)
        assert status == 0, f"ended with {status}:\n{self.text()}"


def wait_for_port(port, process):
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        assert process.process.poll() is None, f"the collector ended:\n{process.text()}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"the collector does not listen:\n{process.text()}")


def call(address, traceparent, method, request):
    subprocess.run(
        ["grpcurl", "-plaintext", "-H", f"traceparent: {traceparent}", "-d", json.dumps(request),
         address, f"{SERVICE}/{method}"],
        check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT,
    )


def spans_of(path):
    for line in path.read_text().splitlines():
        for resource in json.loads(line).get("resourceSpans", []):
            attributes = {a["key"]: a["value"] for a in resource["resource"]["attributes"]}
            assert attributes["service.name"]["stringValue"] == "followme", attributes
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]


def attribute(span, key):
    for item in span.get("attributes", []):
        if item["key"] == key:
            return next(iter(item["value"].values()))
    return None


def check(spans):
    by_id = {span["spanId"]: span for span in spans}
    assert spans, "the collector wrote no span"
    for span in spans:
        assert span["traceId"] == TRACE, f"{span['name']} belongs to another trace: was it sampled?"
        assert "license" not in json.dumps(span).replace("{License}", "").lower(), span
    servers = [span for span in spans if span["kind"] == 2]
    assert [span["name"] for span in servers] == [f"{SERVICE}/Add"], servers
    server = servers[0]
    assert server["parentSpanId"] == CALLER, server
    assert attribute(server, "rpc.response.status_code") == "OK", server

    def root(span):
        while span["parentSpanId"] in by_id:
            span = by_id[span["parentSpanId"]]
        return span

    clients = [span for span in spans if span["kind"] == 3]
    assert len(clients) >= 2, "a write reads and writes"
    for span in spans:
        assert root(span) is server, f"{span['name']} is not below the server span"
    return server, clients


def main(collector, followme):
    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory, "telemetry.json")
        port = free_port()
        config = Path(directory, "collector.yaml")
        config.write_text(json.dumps({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"file": {"path": str(written)}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["file"]},
                    "metrics": {"receivers": ["otlp"], "exporters": ["file"]},
                },
            },
        }))
        settings = Path(directory, "followme.toml")
        settings.write_text('[server]\ndrain_delay = "0s"\n')
        processes = []

        def start(*command, **environment):
            processes.append(Process(*command, **environment))
            return processes[-1]

        try:
            receiver = start(collector, f"--config=file:{config}")
            wait_for_port(port, receiver)
            upstream = start(followme, "simulate", "--listen", "127.0.0.1:0").address("simulator listening on")
            serve = start(
                followme, "serve", "--config", str(settings), "--listen", "127.0.0.1:0",
                "--upstream-url", f"http://{upstream}/",
                FOLLOWME_LICENSE="DEMO-KEY", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            )
            grpc = serve.address("grpc listening on")
            request = {"account_id": 1003, "number": {"name": "Van", "redirect_number": "15550121"}}
            call(grpc, f"00-{TRACE}-{CALLER}-01", "Add", request)
            call(grpc, f"00-{TRACE[:-1]}d-{CALLER}-00", "List", {"account_id": 1003})
            seen = json.loads(subprocess.run(
                ["curl", "-sS", "--fail", f"http://{upstream}/_simulator/requests"],
                check=True, capture_output=True, text=True, timeout=TIMEOUT,
            ).stdout)
            serve.end()
            receiver.end()
            text = written.read_text()
            spans = list(spans_of(written))
            server, clients = check(spans)
            metrics = {"rpc.server.call.duration", "http.client.request.duration", "porta.writes"}
            missing = [name for name in metrics if f'"{name}"' not in text]
            assert not missing, f"the collector has no {missing}"
            assert "DEMO-KEY" not in text, "the License reached the collector"
            parents = seen_parents(seen)
            assert parents == {span["spanId"] for span in clients}, (parents, clients)
            print(f"caller {CALLER} -> {server['name']} {server['spanId']}")
            for span in clients:
                print(f"    -> {span['name']} {span['spanId']}, as upstream saw it")
        finally:
            for process in processes:
                process.process.kill()


def seen_parents(requests):
    """Returns the parents that upstream saw in the trace."""
    headers = [
        value
        for request in requests
        for name, value in request["headers"]
        if name.lower() == "traceparent"
    ]
    assert len(headers) == len(requests), "each request has a traceparent"
    return {header.split("-")[2] for header in headers if header.split("-")[1] == TRACE}


main(*sys.argv[1:])
