"""Shows that docs.py refuses pages that do not say what is true. It needs no build."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import docs


class Pages(unittest.TestCase):
    def page(self, text):
        """Writes a page into a folder that docs.py takes for the repository."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root, docs.ROOT = docs.ROOT, Path(folder.name).resolve()
        self.addCleanup(setattr, docs, "ROOT", root)
        page = docs.ROOT / "page.md"
        page.write_text(text)
        return page

    def run_page(self, text):
        with contextlib.redirect_stdout(io.StringIO()):
            return docs.run(self.page(text))

    def refused(self, what, function, text):
        with self.assertRaisesRegex(docs.Wrong, what):
            function(text)

    def check(self, text):
        docs.check(self.page(text))

    def test_a_right_answer_is_accepted(self):
        answer = '```sh\necho \'{"a": 1, "b": [2], "c": "xyz"}\'\n```\n\n```json\n{"b": [2], "c": "x…"}\n```\n'
        self.assertEqual(self.run_page(answer), 1)

    def test_a_wrong_answer_is_refused(self):
        block = "```sh\necho '{\"a\": [1, 2]}'\n```\n\n```json\n%s\n```\n"
        self.refused("answer.a has 2 elements, not 1", self.run_page, block % '{"a": [1]}')
        self.refused("answer.b is missing", self.run_page, block % '{"b": 1}')
        self.refused(r"answer.a\[1\] is 2, not 3", self.run_page, block % '{"a": [1, 3]}')

    def test_a_wrong_text_is_refused(self):
        block = "```sh\nprintf 'one\\ntwo\\n'\n```\n\n```text\n%s\n```\n"
        self.assertEqual(self.run_page(block % "…\ntw…"), 1)
        self.refused("the answer is another", self.run_page, block % "one")
        self.refused("the answer is another", self.run_page, block % "one\nthree")

    def test_a_command_must_fail_where_the_page_says_so_and_only_there(self):
        self.refused("ended with status 3", self.run_page, "```sh\nexit 3\n```\n")
        self.refused("ended with status 0", self.run_page, "```sh\necho ERROR\n```\n\n```text\nERROR\n```\n")
        self.assertEqual(self.run_page("```sh\necho ERROR; exit 3\n```\n\n```text\nERROR\n```\n"), 1)

    def test_a_call_without_its_answer_is_refused(self):
        self.refused("does not show the answer", self.check, "```sh\ncurl -s http://127.0.0.1:1\n```\n")

    def test_blocks_that_are_not_run_are_marked_with_the_reason(self):
        for kind in ("", "go", "yaml"):
            self.refused("without `<!-- not run", self.check, f"```{kind}\nx\n```\n")
            self.check(f"<!-- not run: a sketch -->\n```{kind}\nx\n```\n")
        self.refused("an answer without a command", self.check, "```json\n{}\n```\n")
        self.refused("without `<!-- not run", self.check, "<!-- not run: a sketch -->\nprose\n```go\n```\n")
        self.assertEqual(self.run_page("<!-- not run: no -->\n```sh\nexit 3\n```\n"), 0)

    def test_a_block_without_an_end_is_refused(self):
        self.refused("does not end", self.check, "```sh\ntrue\n")

    def test_links_lead_somewhere(self):
        self.check("# A title\n\n[here](page.md#a-title)\n")
        self.refused("leads nowhere", self.check, "[there](other.md)\n")
        self.refused("names no heading", self.check, "[there](#other)\n")

    def test_tests_that_a_page_names_are_there(self):
        self.refused("is not there", self.check, "`tests/it/no_such_file.rs`\n")
        page = self.page("`tests/it/a.rs: one, two`\n")
        (docs.ROOT / "tests/it").mkdir(parents=True)
        (docs.ROOT / "tests/it/a.rs").write_text("fn one() {}\nfn two() {}\n")
        docs.check(page)
        (docs.ROOT / "tests/it/a.rs").write_text("fn one() {}\n")
        self.refused("has no test two", docs.check, page)

    def test_generated_tables_end(self):
        self.check("<!-- generated: t -->\n<!-- end of t -->\n")
        self.refused("table t does not end", self.check, "<!-- generated: t -->\n")


if __name__ == "__main__":
    unittest.main()
