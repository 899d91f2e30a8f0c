"""The harness that tries to lose, double or block mail. Each module runs alone, for as long as one likes:

    python -m tests.faults.kills --kills 1000 --seed 7       kill -9 at named points and at random
    python -m tests.faults.fetches --kills 50                kill -9 while mail is fetched from a real IMAP server
    python -m tests.faults.syncs                             the order of fdatasync and 250, by strace
    python -m tests.faults.storage                           disk full, database locked, read-only, corrupt
    python -m tests.faults.memory --seconds 60               memory under hostile connections
    python -m tests.faults.poison --readers 1 2              how long a message that hangs holds up the next
    python -m tests.faults.stops                             SIGTERM under load
    python -m tests.faults.clocks                            the clock put forwards and backwards
    python -m tests.faults.workers                           two programs on one database
    python -m tests.faults.broken_mails [FOLDER...]          test mails of other projects, and damaged samples
    python -m tests.faults.fuzz_smtp | fuzz_reading | fuzz_parser --seconds 600

Each prints its figures as JSON and ends with status 1 where one is not what it must be. `test_faults` and
`test_fuzzing` run them for seconds, and those marked `long` for minutes.
"""
