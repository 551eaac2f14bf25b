-- The history of one or more machines: summary rows of runs, and how far the same build was from itself.
-- A run is one row of `runs` with its rows of `figures`, stored in one transaction. Times are RFC 3339, UTC.

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,       -- hash of what tells this run from any other
    commit_id TEXT,                 -- revision that was measured; NULL where nobody said
    at TEXT NOT NULL,               -- start of the run
    bitbench TEXT NOT NULL,         -- version that measured
    host_key TEXT NOT NULL,         -- hash of the facts of the machine that stay
    host TEXT NOT NULL,             -- the machine for readers
    suite TEXT NOT NULL,
    suite_hash TEXT NOT NULL,
    quick INTEGER NOT NULL,         -- 1: the shortened form of the suite
    lines INTEGER NOT NULL          -- lines of the record: a resumed run has more
) STRICT;

CREATE TABLE figures (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    job TEXT NOT NULL,
    model TEXT NOT NULL,
    kernel TEXT NOT NULL,           -- and the head, where it is not in half precision
    threads INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    figure TEXT NOT NULL,
    unit TEXT NOT NULL,
    basis TEXT,                     -- of energy: the counters that were read
    median REAL NOT NULL,           -- over rounds, in twelve digits
    low REAL NOT NULL,              -- the smallest round
    high REAL NOT NULL,             -- the largest round
    rounds INTEGER NOT NULL,
    more_is_better INTEGER NOT NULL,
    PRIMARY KEY (run, job, figure)
) STRICT, WITHOUT ROWID;

CREATE TABLE controls (
    host_key TEXT NOT NULL,
    suite TEXT NOT NULL,
    job TEXT NOT NULL,
    figure TEXT NOT NULL,
    ratio REAL NOT NULL,            -- a build over itself: the estimate from the pairs of one session
    rounds INTEGER NOT NULL,        -- how many pairs
    at TEXT NOT NULL,
    PRIMARY KEY (host_key, suite, job, figure, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX figures_by_cell ON figures (figure, job);
