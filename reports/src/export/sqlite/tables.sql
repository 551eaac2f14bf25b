-- A record as tables: what was read, nothing derived. NULL is unknown, never zero. Times in nanoseconds, energies in
-- microjoules, sizes in bytes. `line` is the line in records.jsonl, `job` the place in the plan; lines of a job that the plan
-- does not have are left out.

CREATE TABLE run (
    record_format INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    bitbench TEXT NOT NULL,
    command TEXT NOT NULL,                  -- a JSON list
    suite TEXT NOT NULL,
    suite_about TEXT NOT NULL,
    suite_hash TEXT NOT NULL,
    suite_leads TEXT,                       -- what it is about first; NULL is speed
    quick INTEGER NOT NULL,
    seed TEXT NOT NULL,                     -- of 64 bits without a sign
    design TEXT,
    budget_s REAL,
    target_precision_percent REAL,
    energy_source TEXT,                     -- NULL where there is none, for energy_reason
    energy_provenance TEXT,
    energy_reason TEXT,
    energy_remedy TEXT
);

CREATE TABLE host (fact TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE energy_domain (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    counted INTEGER NOT NULL,
    range_uj INTEGER,
    joules_per_tick REAL,
    origin TEXT NOT NULL
);

CREATE TABLE energy_caveat (text TEXT NOT NULL);

CREATE TABLE resumed (line INTEGER PRIMARY KEY, at TEXT NOT NULL, bitbench TEXT NOT NULL, command TEXT NOT NULL);

CREATE TABLE ended (line INTEGER PRIMARY KEY, at TEXT NOT NULL, interrupted INTEGER NOT NULL, stopped_by TEXT);

CREATE TABLE job (
    job INTEGER PRIMARY KEY,                -- from 0
    id TEXT NOT NULL,
    model TEXT NOT NULL,
    weights TEXT NOT NULL,                  -- synthetic, or file
    weights_seed TEXT,
    weights_path TEXT,
    weights_hash TEXT,
    ternarized INTEGER NOT NULL,
    layer_rows INTEGER,                     -- where one layer is measured alone
    layer_columns INTEGER,
    engine TEXT NOT NULL,
    engine_version TEXT NOT NULL,
    kernel TEXT NOT NULL,
    head TEXT NOT NULL,
    precision TEXT NOT NULL,                -- ternary, or half
    threads INTEGER NOT NULL,
    prefill_tokens INTEGER NOT NULL,        -- of each sequence
    decode_tokens INTEGER NOT NULL,
    batch INTEGER NOT NULL,                 -- sequences; tokens of a layer alone
    rounds INTEGER NOT NULL,                -- planned
    control_of TEXT,                        -- id of the job that an A/A control repeats
    injected_percent REAL
);

CREATE TABLE loaded (
    line INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    round INTEGER NOT NULL,                 -- from 0
    process INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    linear_weights INTEGER NOT NULL,
    linear_bytes INTEGER NOT NULL,
    weights_bytes INTEGER NOT NULL,
    weights_bytes_per_token INTEGER NOT NULL,
    head_bytes_per_token INTEGER,
    kv_bytes_per_position INTEGER NOT NULL,
    head_kernel TEXT NOT NULL,
    layers INTEGER,
    hidden INTEGER,
    ffn INTEGER,
    ffn_matrices INTEGER,
    heads INTEGER,
    kv_heads INTEGER,
    head_dim INTEGER,
    vocab INTEGER
);

-- The CPU that each thread was bound to, and those left to the harness (thread is NULL).
CREATE TABLE bound_cpu (line INTEGER NOT NULL REFERENCES loaded, thread INTEGER, cpu INTEGER NOT NULL);

-- A measuring window.
CREATE TABLE sample (
    line INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    round INTEGER NOT NULL,
    process INTEGER NOT NULL,
    phase TEXT NOT NULL,
    slice INTEGER,                          -- which piece of a window that contenders took turns at
    at_ns INTEGER NOT NULL,
    tokens INTEGER NOT NULL,                -- of each repetition, all sequences together
    matrices INTEGER,                       -- copies of a layer that each repetition multiplies by
    bytes INTEGER,
    operations INTEGER,
    peak TEXT,
    rescored_bytes INTEGER,
    digest TEXT,
    energy_source TEXT,
    energy_provenance TEXT,
    energy_window_ns INTEGER,
    energy_polls INTEGER,
    energy_reason TEXT,                     -- why nothing was read
    span_ns INTEGER,                        -- between the two looks around the window; NULL where nobody looked
    looks_ns INTEGER,
    worker_cpu_ns INTEGER,
    worker_system_ns INTEGER,
    harness_cpu_ns INTEGER,
    others_cpu_ns INTEGER,
    steal_ns INTEGER,
    major_faults INTEGER,
    minor_faults INTEGER,
    voluntary_switches INTEGER,
    involuntary_switches INTEGER,
    cpu_pressure_ns INTEGER,
    memory_pressure_ns INTEGER,
    temperature_millicelsius INTEGER,
    throttles INTEGER,
    cpufreq_khz INTEGER
);
CREATE INDEX sample_of_round ON sample (job, round, phase, process);

CREATE TABLE repetition (
    line INTEGER NOT NULL REFERENCES sample,
    repetition INTEGER NOT NULL,            -- from 0
    duration_ns INTEGER NOT NULL,
    PRIMARY KEY (line, repetition)
) WITHOUT ROWID;

-- Steps of decode, repetition after repetition.
CREATE TABLE step (
    line INTEGER NOT NULL REFERENCES sample,
    step INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    PRIMARY KEY (line, step)
) WITHOUT ROWID;

CREATE TABLE domain_energy (
    line INTEGER NOT NULL REFERENCES sample,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    counted INTEGER NOT NULL,               -- whether it is part of the total
    start_uj INTEGER NOT NULL,
    end_uj INTEGER,
    start_ticks INTEGER,
    end_ticks INTEGER,
    wraps INTEGER NOT NULL,
    energy_uj INTEGER,                      -- NULL where there is a fault; then there is no total either
    fault TEXT,
    PRIMARY KEY (line, place)
) WITHOUT ROWID;

-- Event counters of the worker.
CREATE TABLE event (
    line INTEGER NOT NULL REFERENCES sample,
    name TEXT NOT NULL,
    count INTEGER,
    enabled_ns INTEGER,
    running_ns INTEGER,
    user_only INTEGER,
    missing TEXT                            -- why it was not counted
);
CREATE INDEX event_of_sample ON event (line, name);

CREATE TABLE memory (
    line INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    round INTEGER NOT NULL,
    process INTEGER NOT NULL,
    peak_bytes INTEGER,
    anonymous_bytes INTEGER,
    file_bytes INTEGER,
    allocated_peak_bytes INTEGER
);

CREATE TABLE cold_start (
    line INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    round INTEGER NOT NULL,
    process INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL,
    storage_bytes INTEGER
);

CREATE TABLE outcome (
    line INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    round INTEGER NOT NULL,
    process INTEGER NOT NULL,
    outcome TEXT NOT NULL,                  -- measured, skipped, failed
    reason TEXT
);
