"""pexpect: wait() for a child whose output nobody reads (peplin/pygatt#291)."""

import sys
import _go
import pexpect

NEEDS = ("pexpect",)
EXPECT = "stuck or named child-pipe-deadlock"
child = pexpect.spawn(sys.executable, ["-c", "import sys\nfor i in range(200000): sys.stdout.write('line %d\\n' % i)"])
_go.ready(2)
child.wait()
