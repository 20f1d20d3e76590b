#!/usr/bin/env python3
"""Checks README.md and docs/**/*.md: every command shown is run, and its answer compared.

    docs.py check             what needs no build: blocks, links, named tests, generated tables
    docs.py run [PAGE...]     runs the commands of all pages, or of these
    docs.py print PAGE TITLE  prints the commands of one section

The code blocks of a page:

sh        One command, which is run by bash in the root of the repository. A command that starts
          followme (`cargo run -- demo`, `serve` or `simulate`) keeps running until its section ends,
          or until the page ends if it is above the first section. SIGTERM must then end it with
          status 0.
json      The answer of the sh block before it. What is shown must be there; more may be. Lists have
          the same length.
text      The same, compared line by line. Blanks are squeezed; a line `…` matches any lines.
toml      A whole configuration file, which `followme config check` must accept.
mermaid   A diagram, which is not run.

In an answer, `…` inside a line or a string matches any characters. A command must fail if and
only if its answer begins with `ERROR` (grpcurl) or `followme: ` (the command line). grpcurl and curl
must be followed by an answer.

A block that cannot be run is marked by a comment right before it, which gives the reason:

    <!-- not run: needs systemd -->

A block of any other kind, or an answer without a command, is an error unless it is marked so.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = re.compile(r"\bcargo run -- (demo|serve|simulate)\b")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
GENERATED = re.compile(r"<!-- generated: ([a-z-]+) -->")
START_LIMIT = 60  # seconds; what it starts was built before
COMMAND_LIMIT = 60


class Wrong(Exception):
    """A page that is not true, or not checkable."""


@dataclass
class Block:
    """A fenced block, and where it is."""

    page: Path
    line: int
    headings: tuple  # the titles above it, outermost first
    language: str
    text: str
    not_run: str | None = None  # the reason, where it is marked

    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages(names=()):
    """Returns the pages that are checked: these, or all."""
    if names:
        return [(ROOT / name).resolve() for name in names]
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page):
    """Returns the fenced blocks of a page."""
    found, headings, mark = [], [], None
    fence = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if fence is not None:
            if line == "```":
                fence.text = fence.text.removesuffix("\n")
                found.append(fence)
                fence = None
            else:
                fence.text += line + "\n"
        elif line.startswith("```"):
            fence = Block(page, number, tuple(headings), line[3:].strip(), "", mark)
            mark = None
        elif title := re.match(r"(#+) +(.+)", line):
            # The title of the page is no section: what is directly under it belongs to the page.
            level = len(title[1]) - 1
            headings = [*headings[: max(0, level - 1)], title[2].strip()] if level else []
            mark = None
        elif reason := NOT_RUN.fullmatch(line):
            mark = reason[1]
        elif line.strip():
            mark = None
    if fence is not None:
        raise Wrong(f"{fence.where()}: the block does not end")
    return found


# Comparing answers.


def wildcard(expected, actual):
    """Compares texts; `…` matches any characters."""
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
    """Compares lines; a line `…` matches any number of lines."""
    if not expected:
        return not actual
    if expected[0] == "…":
        return any(text_matches(expected[1:], actual[skip:]) for skip in range(len(actual) + 1))
    return bool(actual) and wildcard(expected[0], actual[0]) and text_matches(expected[1:], actual[1:])


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


# Running.


class Server:
    """A followme that runs in the background."""

    def __init__(self, block):
        command = block.text
        print(f"$ {command} &", flush=True)
        self.command = command
        self.headings = block.headings
        self.state = tempfile.TemporaryDirectory()
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            # exec: the signal must reach followme, which replaces the cargo process.
            ["bash", "-c", re.sub(r"\bcargo run\b", "exec cargo run --quiet", command)],
            cwd=ROOT,
            # Nothing that a former run has kept.
            env={**os.environ, "XDG_STATE_HOME": self.state.name},
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.printed = []
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
            self.printed.append(line)
            if line.startswith(start):
                return
        log = self.log()
        self.process.kill()
        raise Wrong(f"{self.command}: did not print {start!r}\n{log}")

    def hints(self):
        """Returns the commands that a demo tells its user to type."""
        while "Ctrl-C" not in self.printed[-1]:
            line = self.next_line(10)
            if line is None:
                raise Wrong(f"{self.command}: did not print what to type")
            self.printed.append(line)
        return [line for line in self.printed if line.startswith("grpcurl ")]

    def log(self):
        self.stderr.seek(0)
        return "".join(self.stderr.readlines()[-40:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Wrong(f"{self.command}: SIGTERM did not end it\n{self.log()}") from None
        if status != 0:
            raise Wrong(f"{self.command}: SIGTERM ended it with status {status}\n{self.log()}")


def call(command, language=None, expected=None):
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
    should_fail = expected is not None and expected.startswith(("ERROR", "followme: "))
    if (done.returncode != 0) != should_fail:
        raise Wrong(f"ended with status {done.returncode}\n{answer}")
    if expected is None:
        return
    if language == "json":
        try:
            actual = json.loads(done.stdout)
        except ValueError as error:
            raise Wrong(f"the answer is not JSON: {error}\n{answer}") from error
        if found := list(differences(json.loads(expected), actual)):
            raise Wrong("\n".join(found) + f"\n{answer}")
    elif not text_matches(squeezed(expected), squeezed(answer)):
        raise Wrong(f"the answer is another:\n{answer}")
    print("  as the page shows", flush=True)


def config_check(text):
    """Checks a configuration file with followme."""
    with tempfile.TemporaryDirectory() as directory:
        config, license = Path(directory, "followme.toml"), Path(directory, "license")
        config.write_text(text)
        license.write_text("DEMO-KEY\n")
        call(f"cargo run --quiet -- config check --config {config} --license-file {license}")


def steps(page):
    """Yields the blocks of a page that are run, each with the block of its answer or None.

    Refuses what is neither run nor marked.
    """
    all_blocks = blocks(page)
    answers = set()
    for index, block in enumerate(all_blocks):
        if block.not_run:
            continue
        following = all_blocks[index + 1] if index + 1 < len(all_blocks) else None
        match block.language:
            case "sh":
                answer = None
                if (
                    following
                    and following.language in ("json", "text")
                    and following.headings == block.headings
                    and not following.not_run
                ):
                    answer = following
                    answers.add(index + 1)
                if re.match(r"(grpcurl|curl)\b", block.text) and not answer:
                    raise Wrong(f"{block.where()}: the page does not show the answer")
                if answer and SERVER.search(block.text):
                    raise Wrong(f"{answer.where()}: what a server prints is not compared")
                if answer and answer.language == "json":
                    try:
                        json.loads(answer.text)
                    except ValueError as error:
                        raise Wrong(f"{answer.where()}: no JSON: {error}") from None
                yield block, answer
            case "toml":
                yield block, None
            case "json" | "text" if index in answers:
                pass
            case "mermaid":
                pass
            case "json" | "text":
                raise Wrong(f"{block.where()}: an answer without a command, and without `<!-- not run: … -->`")
            case other:
                raise Wrong(f"{block.where()}: a block of kind {other!r} without `<!-- not run: … -->`")


def run(page):
    """Runs the commands of a page. Returns how many it ran."""
    servers, count = [], 0
    try:
        for block, answer in steps(page):
            while servers and servers[-1].headings != block.headings[: len(servers[-1].headings)]:
                servers.pop().stop()
            if block.headings[:1] == ("Tests",):
                continue  # .ci/run runs them by themselves.
            try:
                if block.language == "toml":
                    config_check(block.text)
                elif SERVER.search(block.text):
                    servers.append(Server(block))
                    if "-- demo" in block.text:
                        for hint in servers[-1].hints():
                            call(hint, "text", "…")
                elif answer:
                    call(block.text, answer.language, answer.text)
                else:
                    call(block.text)
                count += 1
            except (Wrong, subprocess.TimeoutExpired) as error:
                logs = "".join(server.log() for server in servers)
                raise Wrong(f"{block.where()}: {error}\nlog of followme:\n{logs}") from error
        while servers:
            servers.pop().stop()
    finally:
        for server in servers:
            server.process.kill()
    return count


# What needs no build.


def anchors(page):
    """Returns the anchors of the headings of a page, as GitHub makes them."""
    found, inside = {}, False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside and (title := re.match(r"#+ +(.+)", line)):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found[slug] = found.get(slug, 0) + 1
    return {*found, *(f"{slug}-{n}" for slug, count in found.items() for n in range(1, count))}


def prose(page):
    """Returns the text of a page without its blocks and code spans."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def check_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            raise Wrong(f"{page.relative_to(ROOT)}: {target} leads nowhere")
        if anchor and file.suffix == ".md" and anchor not in anchors(file):
            raise Wrong(f"{page.relative_to(ROOT)}: {target} names no heading")


def check_tests(page):
    """Checks that each test that a page names, as `tests/it/FILE.rs: NAME`, is there."""
    for path, names in re.findall(r"`(tests/[\w/]+\.rs)((?:: \w+(?:, \w+)*)?)`", page.read_text()):
        file = ROOT / path
        if not file.exists():
            raise Wrong(f"{page.relative_to(ROOT)}: {path} is not there")
        source = file.read_text()
        for name in re.findall(r"\w+", names):
            if not re.search(rf"\b(fn|mod) {name}\b", source):
                raise Wrong(f"{page.relative_to(ROOT)}: {path} has no test {name}")


def check_tables(page):
    """Checks that each generated table has its end. tests/it/reference.rs compares the contents."""
    text = page.read_text()
    for name in GENERATED.findall(text):
        if text.count(f"<!-- end of {name} -->") != 1:
            raise Wrong(f"{page.relative_to(ROOT)}: the table {name} does not end")


def check(page):
    for _ in steps(page):
        pass
    check_links(page)
    check_tests(page)
    check_tables(page)


def main(arguments):
    match arguments:
        case ["check"]:
            for page in sorted({*pages(), *ROOT.glob("*.md")}):
                check(page)
            print("the blocks, links and named tests of all pages are good")
        case ["run", *names]:
            subprocess.run(["cargo", "build", "--quiet"], cwd=ROOT, check=True)
            total = 0
            for page in pages(names):
                count = run(page)
                total += count
                print(f"== {page.relative_to(ROOT)}: {count} blocks run", flush=True)
            if total == 0:
                raise Wrong("no page has a command")
        case ["print", name, title]:
            found = [
                block.text
                for block in blocks(ROOT / name)
                if block.headings[-1:] == (title,) and block.language == "sh"
            ]
            if not found:
                raise Wrong(f"{name} has no commands in a section {title}")
            print("\n".join(found))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Wrong as wrong:
        sys.exit(f"docs.py: {wrong}")
