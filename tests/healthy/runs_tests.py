"""A test runner: short tests over and over, with temporary files, threads that are joined, and a child now and then."""

from __future__ import annotations

import io
import subprocess
import tempfile
import threading
import time
import unittest

from _program import perform


class Tests(unittest.TestCase):
    def test_file(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 10_000)
            file.seek(0)
            self.assertEqual(len(file.read()), 10_000)

    def test_thread(self) -> None:
        done: list[int] = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        thread.join()
        self.assertEqual(done, [1])

    def test_child(self) -> None:
        self.assertEqual(subprocess.run(["true"]).returncode, 0)

    def test_numbers(self) -> None:
        self.assertEqual(sum(range(200_000)), 199_999 * 100_000)

    def test_wait(self) -> None:
        time.sleep(0.05)


def program() -> object:
    def forever() -> None:
        while True:
            suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
            unittest.TextTestRunner(io.StringIO()).run(suite)

    return forever


if __name__ == "__main__":
    perform(program)
