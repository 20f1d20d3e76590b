#!/usr/bin/env python3
"""Runs the commands of README.md as they stand, and checks their answers.

    readme.py run            every ```sh block, but for the section Tests
    readme.py tables         every reason and every key of the sources is in its table
    readme.py print SECTION  prints the commands of a section

In README.md:
* A ```sh block that starts followme (`cargo run -- demo`) runs until its section ends, and must
  then end cleanly.
* Any other ```sh block holds one command. The ```json or ```text block that follows is its answer;
  grpcurl and curl must have one. JSON: what it shows must be there, more may be; lists have the
  same length. Text: line by line, blanks squeezed; a line `…` stands for any lines. Within a text
  or a string, `…` stands for anything. A command must fail if and only if its answer starts with
  `ERROR`.
* A ```toml block is a whole configuration file, which `followme serve` must take.
"""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = re.compile(r"\bcargo run -- (demo|serve|simulate)\b")
START_LIMIT = 600  # seconds; `cargo run` may have to build
COMMAND_LIMIT = 60


class Wrong(Exception):
    """An example that does not do what the README says."""


def blocks(text):
    """Yields (section, line number, language, text) for each fenced block."""
    section, start, language, lines = "", 0, None, []
    for number, line in enumerate(text.splitlines(), 1):
        if language is None:
            if line.startswith("## "):
                section = line[3:].strip()
            elif line.startswith("```"):
                start, language, lines = number, line[3:].strip(), []
        elif line == "```":
            yield section, start, language, "\n".join(lines)
            language = None
        else:
            lines.append(line)
    if language is not None:
        raise Wrong(f"README.md:{start}: the block does not end")


def wildcard(expected, actual):
    """Compares texts in which `…` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, actual, re.DOTALL) is not None


def differences(expected, actual, path="answer"):
    """Yields what of the expected JSON value is not in the actual one."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if key in actual:
                yield from differences(value, actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is missing"
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path} has {len(actual)} elements, not {len(expected)}"
        for index, (left, right) in enumerate(zip(expected, actual)):
            yield from differences(left, right, f"{path}[{index}]")
    elif isinstance(expected, str) and isinstance(actual, str):
        if not wildcard(expected, actual):
            yield f"{path} is {actual!r}, not {expected!r}"
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{path} is {actual!r}, not {expected!r}"


def text_matches(expected, actual):
    """Compares lines; a line `…` stands for any number of them."""
    if not expected:
        return not actual
    if expected[0] == "…":
        return any(text_matches(expected[1:], actual[skip:]) for skip in range(len(actual) + 1))
    return bool(actual) and wildcard(expected[0], actual[0]) and text_matches(expected[1:], actual[1:])


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


class Server:
    """A followme that runs in the background."""

    def __init__(self, command, environment=None):
        print(f"$ {command} &", flush=True)
        self.command = command
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            # exec: the signal must reach followme, into which cargo turns itself.
            ["bash", "-c", re.sub(r"\bcargo run\b", "exec cargo run", command)],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.said = []
        self.wait_for("simulator listening on" if "-- simulate" in command else "grpc listening on")

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def next_line(self, seconds):
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def wait_for(self, start):
        end = time.monotonic() + START_LIMIT
        while (line := self.next_line(max(0, end - time.monotonic()))) is not None:
            print(line, flush=True)
            self.said.append(line)
            if line.startswith(start):
                return
        raise Wrong(f"{self.command}: did not say {start!r}\n{self.log()}")

    def hints(self):
        """Returns the commands that a demo tells its user to type."""
        while "Ctrl-C" not in self.said[-1]:
            line = self.next_line(10)
            if line is None:
                raise Wrong(f"{self.command}: did not say what to type")
            self.said.append(line)
        return [line for line in self.said if line.startswith("grpcurl ")]

    def log(self):
        self.stderr.seek(0)
        return "".join(self.stderr.readlines()[-40:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Wrong(f"{self.command}: SIGTERM did not end it\n{self.log()}") from None
        if status != 0:
            raise Wrong(f"{self.command}: SIGTERM ended it with status {status}\n{self.log()}")


def call(command, language, expected):
    """Runs one command and checks its answer."""
    print(f"$ {command}", flush=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT,
        check=False,
    )
    answer = done.stdout + done.stderr
    should_fail = expected is not None and expected.startswith("ERROR")
    if (done.returncode != 0) != should_fail:
        raise Wrong(f"ended with status {done.returncode}\n{answer}")
    if expected is None:
        if re.match(r"(grpcurl|curl)\b", command):
            raise Wrong("the README does not show its answer")
    elif language == "json":
        try:
            actual = json.loads(done.stdout)
        except ValueError as error:
            raise Wrong(f"the answer is not JSON: {error}\n{answer}") from error
        if found := list(differences(json.loads(expected), actual)):
            raise Wrong("\n".join(found) + f"\n{answer}")
    elif not text_matches(squeezed(expected), squeezed(answer)):
        raise Wrong(f"the answer is another:\n{answer}")
    print("  as the README says" if expected else "  done", flush=True)


def configuration(text):
    """Starts `followme serve` with a configuration file of the README."""
    with tempfile.TemporaryDirectory() as directory:
        config, license = Path(directory, "followme.toml"), Path(directory, "license")
        config.write_text(text)
        license.write_text("DEMO-KEY\n")
        Server(
            f"cargo run -- serve --config {config} --license-file {license} --listen 127.0.0.1:0"
        ).stop()


def run(readme):
    servers, in_section, calls = [], None, 0

    def stop_all():
        while servers:
            servers.pop().stop()

    try:
        for index, (section, line, language, text) in enumerate(readme):
            if section == "Tests":
                continue
            try:
                if section != in_section:
                    stop_all()
                    in_section = section
                if language == "toml":
                    configuration(text)
                elif language == "sh" and SERVER.search(text):
                    servers.append(Server(text))
                    if "-- demo" in text:
                        for hint in servers[-1].hints():
                            call(hint, "text", "…")
                elif language == "sh":
                    following = readme[index + 1] if index + 1 < len(readme) else None
                    if following and following[0] == section and following[2] in ("json", "text"):
                        call(text, following[2], following[3])
                    else:
                        call(text, None, None)
                    calls += text.startswith("grpcurl ")
            except (Wrong, subprocess.TimeoutExpired) as error:
                logs = "".join(server.log() for server in servers)
                raise Wrong(f"README.md:{line}: {error}\nlog of followme:\n{logs}") from error
        stop_all()
    finally:
        for server in servers:
            server.process.kill()
    if calls == 0:
        raise Wrong("README.md: no grpcurl command was found")
    print(f"{calls} grpcurl commands of README.md answer as it says")


def tables(readme):
    """Compares the tables of reasons and of keys with the strings of the sources."""

    def strings(pattern, *paths):
        return {name for path in paths for name in re.findall(f'"({pattern})"', (ROOT / path).read_text())}

    def rows(pattern):
        return set(re.findall(rf"^\| `({pattern})` \|", readme, re.MULTILINE))

    reason, key = r"[A-Z]+(?:_[A-Z]+)+", r"[a-z]+\.[a-z_]+"
    for what, inside, shown in (
        ("reasons", strings(reason, "src/operations/error.rs", "src/security/mod.rs", "src/grpc/status.rs"), rows(reason)),
        ("keys", strings(key, "src/config/keys.rs", "src/config/telemetry.rs"), rows(key)),
    ):
        if not inside:
            raise Wrong(f"no {what} were found in the sources")
        if inside != shown:
            raise Wrong(
                f"{what} of the sources that README.md lacks: {sorted(inside - shown)}; "
                f"of README.md that the sources lack: {sorted(shown - inside)}"
            )
        print(f"README.md has all {len(inside)} {what}")


def main(arguments):
    text = (ROOT / "README.md").read_text()
    readme = list(blocks(text))
    match arguments:
        case ["run"]:
            run(readme)
        case ["tables"]:
            tables(text)
        case ["print", section]:
            found = [text for name, _, language, text in readme if (name, language) == (section, "sh")]
            if not found:
                raise Wrong(f"README.md has no commands in a section {section}")
            print("\n".join(found))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"readme.py: {wrong}")
