-- The figures of a run from its data base, written without a look at the code that derives them: the text of README and
-- suites/README.md and the sentences of `bitbench explain` say what each is. A NULL value is a window without a number.

-- Of several windows of a phase in a round: the last of the newest process.
CREATE TEMP VIEW newest AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY job, round, phase ORDER BY process DESC, line DESC) AS newness
    FROM sample WHERE phase NOT IN ('idle', 'warm_up')
) WHERE newness = 1;

-- Where that is a slice, the window is all slices of its process; else it is in one piece.
CREATE TEMP TABLE piece AS
SELECT n.line AS window, s.line FROM newest n JOIN sample s USING (job, round, process, phase)
WHERE s.line = n.line OR n.slice IS NOT NULL;
CREATE INDEX temp.piece_of_line ON piece (line);

-- What was read of all pieces is added up; where it was not read of one, it is not known.
CREATE TEMP VIEW chosen AS
SELECT p.window AS line, s.job, s.round, s.process, s.phase, count(*) AS pieces,
    max(s.tokens) AS tokens, max(s.bytes) AS bytes, max(s.operations) AS operations, max(s.matrices) AS matrices,
    sum(s.rescored_bytes) AS rescored_bytes,
    CASE WHEN count(s.span_ns) = count(*) THEN sum(s.span_ns) END AS span_ns,
    CASE WHEN count(s.worker_cpu_ns) = count(*) THEN sum(s.worker_cpu_ns) END AS worker_cpu_ns,
    CASE WHEN count(s.worker_system_ns) = count(*) THEN sum(s.worker_system_ns) END AS worker_system_ns,
    CASE WHEN count(s.harness_cpu_ns) = count(*) THEN sum(s.harness_cpu_ns) END AS harness_cpu_ns,
    CASE WHEN count(s.throttles) = count(*) THEN sum(s.throttles) END AS throttles,
    CASE WHEN count(s.others_cpu_ns) = count(*) THEN sum(s.others_cpu_ns) END AS others_cpu_ns,
    CASE WHEN count(s.steal_ns) = count(*) THEN sum(s.steal_ns) END AS steal_ns,
    CASE WHEN count(s.major_faults) = count(*) THEN sum(s.major_faults) END AS major_faults,
    CASE WHEN count(s.minor_faults) = count(*) THEN sum(s.minor_faults) END AS minor_faults,
    CASE WHEN count(s.voluntary_switches) = count(*) THEN sum(s.voluntary_switches) END AS voluntary_switches,
    CASE WHEN count(s.involuntary_switches) = count(*) THEN sum(s.involuntary_switches) END AS involuntary_switches
FROM piece p JOIN sample s USING (line) GROUP BY p.window;

CREATE TEMP VIEW chosen_loaded AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY job, round ORDER BY process DESC, line DESC) AS newness FROM loaded
) WHERE newness = 1;

CREATE TEMP VIEW chosen_memory AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY job, round ORDER BY process DESC, line DESC) AS newness FROM memory
) WHERE newness = 1 AND job IN (SELECT job FROM job WHERE layer_rows IS NULL);

CREATE TEMP VIEW chosen_cold AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY job, round ORDER BY process DESC, line DESC) AS newness FROM cold_start
) WHERE newness = 1;

-- The median repetition of each window, in seconds, and how many repetitions there are.
CREATE TEMP VIEW typical AS
SELECT window AS line, avg(duration_ns) / 1e9 AS seconds, of AS repetitions FROM (
    SELECT p.window, duration_ns, count(*) OVER (PARTITION BY p.window) AS of,
        row_number() OVER (PARTITION BY p.window ORDER BY duration_ns) AS place
    FROM piece p JOIN repetition USING (line)
) WHERE place IN ((of + 1) / 2, (of + 2) / 2) GROUP BY window;

-- The rate of each slice.
CREATE TEMP TABLE slice AS
SELECT s.job, s.round, s.phase, s.slice, s.tokens / (avg(m.duration_ns) / 1e9) AS rate FROM (
    SELECT p.line, duration_ns, count(*) OVER (PARTITION BY p.line) AS of,
        row_number() OVER (PARTITION BY p.line ORDER BY duration_ns) AS place
    FROM piece p JOIN repetition USING (line)
) m JOIN sample s USING (line)
WHERE m.place IN ((m.of + 1) / 2, (m.of + 2) / 2) AND s.slice IS NOT NULL GROUP BY s.line;

-- The energy of each window that counters were read for: no total where a counted domain has none.
CREATE TEMP VIEW total AS
SELECT s.line, s.job, s.round, s.process, s.phase, s.energy_window_ns / 1e9 AS seconds,
    CASE WHEN sum(d.counted) > 0 AND sum(d.counted AND d.energy_uj IS NULL) = 0
        THEN sum(d.energy_uj) FILTER (WHERE d.counted) / 1e6 END AS joules,
    s.energy_provenance || ' ' || s.energy_source || ' ' || group_concat(d.name, '+' ORDER BY d.name) FILTER (WHERE d.counted)
        AS basis,
    s.energy_provenance = 'simulated' AS simulated
FROM sample s JOIN domain_energy d USING (line)
WHERE s.energy_window_ns > 0 GROUP BY s.line;

-- Idle power of each process, as far as every idle window of it has one.
CREATE TEMP VIEW idle AS
SELECT s.job, s.round, s.process, t.basis,
    CASE WHEN count(*) = count(t.joules) AND count(DISTINCT t.basis) = 1 THEN avg(t.joules / t.seconds) END AS watts,
    CASE WHEN count(*) = count(t.joules) AND count(*) > 1
        THEN (max(t.joules / t.seconds) - min(t.joules / t.seconds)) / avg(t.joules / t.seconds) END AS difference
FROM sample s LEFT JOIN total t USING (line)
WHERE s.phase = 'idle' GROUP BY s.job, s.round, s.process;

-- Jobs whose energy rests on one thing only.
CREATE TEMP VIEW basis AS
SELECT c.job, min(t.basis) AS basis, max(t.simulated) AS simulated, count(DISTINCT t.basis) = 1 AS agreed
FROM chosen c JOIN total t USING (line)
WHERE c.pieces = 1 AND c.phase IN ('prefill', 'decode', 'request', 'multiply') AND t.joules IS NOT NULL GROUP BY c.job;

CREATE TEMP VIEW energy AS
SELECT c.job, c.round, c.phase, c.tokens, c.matrices, y.repetitions, t.seconds,
    -- Slices are too short for counters.
    CASE WHEN b.agreed IS NOT 0 AND c.pieces = 1 THEN t.joules END AS joules,
    i.watts AS idle_watts, i.difference
FROM chosen c
JOIN typical y USING (line)
LEFT JOIN total t USING (line)
LEFT JOIN basis b ON b.job = c.job
LEFT JOIN idle i ON i.job = c.job AND i.round = c.round AND i.process = c.process AND i.basis = t.basis
WHERE c.phase IN ('prefill', 'decode', 'request', 'multiply');

-- Events of a window, scaled up where they took turns.
CREATE TEMP VIEW scaled AS
SELECT line, name, user_only,
    CASE WHEN running_ns >= enabled_ns THEN count * 1.0 WHEN running_ns > 0 THEN count * 1.0 * enabled_ns / running_ns END
        AS count
FROM (
    SELECT c.line, e.name, max(e.user_only) AS user_only, sum(e.count) AS count, sum(e.enabled_ns) AS enabled_ns,
        sum(e.running_ns) AS running_ns, c.pieces, count(*) AS counted
    FROM chosen c JOIN piece p ON p.window = c.line JOIN event e ON e.line = p.line
    WHERE e.missing IS NULL GROUP BY c.line, e.name
) WHERE counted = pieces;

-- Each number of each round, by the column that shows it.
CREATE TEMP TABLE number AS
SELECT c.job, c.round, 'prefill_tokens_per_second' AS what, c.tokens / y.seconds AS value
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'prefill'
UNION ALL SELECT c.job, c.round, 'first_token_ms', y.seconds * 1e3
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'prefill'
UNION ALL SELECT c.job, c.round, 'decode_tokens_per_second', c.tokens / y.seconds
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'decode_tokens_per_second_each', c.tokens / y.seconds / j.batch
    FROM chosen c JOIN typical y USING (line) JOIN job j USING (job) WHERE phase = 'decode' AND j.batch > 1
UNION ALL SELECT c.job, c.round, 'decode_ms_per_token', y.seconds * 1e3 / (c.tokens / j.batch)
    FROM chosen c JOIN typical y USING (line) JOIN job j USING (job) WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'request_seconds', y.seconds
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'request'
UNION ALL SELECT c.job, c.round, 'read_bandwidth_gb_per_second', c.bytes / y.seconds / 1e9
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'read_bandwidth'
UNION ALL SELECT c.job, c.round, 'compute_peak_gop_per_second', c.operations / y.seconds / 1e9
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'compute_peak'
-- A layer alone is packed as often as no cache holds, which is no load and no memory of it.
UNION ALL SELECT job, round, 'load_seconds', duration_ns / 1e9 FROM chosen_loaded JOIN job USING (job) WHERE layer_rows IS NULL
UNION ALL SELECT job, round, 'cold_load_seconds', CASE WHEN storage_bytes >= file_bytes THEN duration_ns / 1e9 END
    FROM chosen_cold
UNION ALL SELECT job, round, 'peak_mb', peak_bytes / 1e6 FROM chosen_memory
UNION ALL SELECT job, round, 'anonymous_mb', anonymous_bytes / 1e6 FROM chosen_memory
UNION ALL SELECT job, round, 'file_mb', file_bytes / 1e6 FROM chosen_memory
UNION ALL SELECT job, round, 'steady_mb', (anonymous_bytes + file_bytes) / 1e6 FROM chosen_memory
UNION ALL SELECT job, round, 'allocated_mb', allocated_peak_bytes / 1e6 FROM chosen_memory
    WHERE allocated_peak_bytes IS NOT NULL
-- What decode reads: steps have a token of each sequence.
UNION ALL SELECT c.job, c.round, 'head_mb_per_token',
        (l.head_bytes_per_token + ifnull(c.rescored_bytes, 0) * 1.0 / (c.tokens / j.batch * y.repetitions)) / j.batch / 1e6
    FROM chosen c JOIN typical y USING (line) JOIN job j USING (job) JOIN chosen_loaded l USING (job, round)
    WHERE phase = 'decode' AND l.head_bytes_per_token IS NOT NULL
UNION ALL SELECT c.job, c.round, 'decode_gb_per_second',
        (l.weights_bytes_per_token + ifnull(c.rescored_bytes, 0) * 1.0 / (c.tokens / j.batch * y.repetitions)
            + l.kv_bytes_per_position * j.batch * (j.prefill_tokens + c.tokens / j.batch / 2.0))
        / (y.seconds / (c.tokens / j.batch)) / 1e9
    FROM chosen c JOIN typical y USING (line) JOIN job j USING (job) JOIN chosen_loaded l USING (job, round)
    WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'prefill_gop_per_second', 2.0 * l.linear_weights * c.tokens / y.seconds / 1e9
    FROM chosen c JOIN typical y USING (line) JOIN chosen_loaded l USING (job, round) WHERE phase = 'prefill'
UNION ALL SELECT c.job, c.round, 'decode_gop_per_second', 2.0 * l.linear_weights * c.tokens / y.seconds / 1e9
    FROM chosen c JOIN typical y USING (line) JOIN chosen_loaded l USING (job, round) WHERE phase = 'decode'
-- Multiplications by a layer alone.
UNION ALL SELECT c.job, c.round, 'multiply_us', y.seconds * 1e6 / c.matrices
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'multiply'
UNION ALL SELECT c.job, c.round, 'multiply_gb_per_second', l.linear_bytes / (y.seconds / c.matrices) / 1e9
    FROM chosen c JOIN typical y USING (line) JOIN chosen_loaded l USING (job, round) WHERE phase = 'multiply'
UNION ALL SELECT c.job, c.round, 'multiply_gop_per_second', 2.0 * l.linear_weights * c.tokens / (y.seconds / c.matrices) / 1e9
    FROM chosen c JOIN typical y USING (line) JOIN chosen_loaded l USING (job, round) WHERE phase = 'multiply'
-- Energy.
UNION ALL SELECT job, round, phase || '_joules_per_token', joules / tokens / repetitions FROM energy
UNION ALL SELECT job, round, phase || '_watts', joules / seconds FROM energy
UNION ALL SELECT job, round, 'request_joules', joules / repetitions FROM energy WHERE phase = 'request'
UNION ALL SELECT job, round, 'multiply_uj', joules * 1e6 / repetitions / matrices FROM energy WHERE phase = 'multiply'
UNION ALL SELECT job, round, 'decode_net_joules_per_token',
        CASE WHEN joules > idle_watts * seconds THEN (joules - idle_watts * seconds) / tokens / repetitions END
    FROM energy WHERE phase = 'decode'
UNION ALL SELECT job, round, 'decode_net_error_percent',
        idle_watts * difference / 2 * seconds / (joules - idle_watts * seconds) * 100
    FROM energy WHERE phase = 'decode' AND joules > idle_watts * seconds AND difference IS NOT NULL
-- What happened around decode.
UNION ALL SELECT job, round, 'decode_worker_cores', worker_cpu_ns * 1.0 / span_ns FROM chosen WHERE phase = 'decode'
UNION ALL SELECT job, round, 'decode_others_cores', others_cpu_ns * 1.0 / span_ns FROM chosen WHERE phase = 'decode'
UNION ALL SELECT job, round, 'decode_stolen_cores', steal_ns * 1.0 / span_ns FROM chosen WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'decode_page_faults_per_token',
        (major_faults + minor_faults) * 1.0 / tokens / y.repetitions
    FROM chosen c JOIN typical y USING (line) WHERE phase = 'decode'
UNION ALL SELECT job, round, 'decode_context_switches', voluntary_switches + involuntary_switches
    FROM chosen WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'decode_instructions_per_cycle', i.count / cy.count
    FROM chosen c LEFT JOIN scaled i ON i.line = c.line AND i.name = 'instructions'
    LEFT JOIN scaled cy ON cy.line = c.line AND cy.name = 'cycles' WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'decode_effective_mhz',
        CASE WHEN NOT cy.user_only OR c.worker_system_ns * 1.0 / c.worker_cpu_ns <= 0.02 THEN cy.count / ck.count * 1e3 END
    FROM chosen c LEFT JOIN scaled cy ON cy.line = c.line AND cy.name = 'cycles'
    LEFT JOIN scaled ck ON ck.line = c.line AND ck.name = 'task_clock_ns' WHERE phase = 'decode'
UNION ALL SELECT c.job, c.round, 'decode_cache_misses_per_token', m.count / c.tokens / y.repetitions
    FROM chosen c JOIN typical y USING (line)
    LEFT JOIN scaled m ON m.line = c.line AND m.name = 'cache_misses' WHERE phase = 'decode';

-- Shares of one number of a round in another.
INSERT INTO number
SELECT a.job, a.round, s.what, a.value / b.value * 100
FROM (
    SELECT 'bandwidth_share_percent' AS what, 'decode_gb_per_second' AS part, 'read_bandwidth_gb_per_second' AS whole
    UNION ALL SELECT 'multiply_bandwidth_share_percent', 'multiply_gb_per_second', 'read_bandwidth_gb_per_second'
    UNION ALL SELECT 'multiply_compute_share_percent', 'multiply_gop_per_second', 'compute_peak_gop_per_second'
    UNION ALL SELECT 'prefill_compute_share_percent', 'prefill_gop_per_second', 'compute_peak_gop_per_second'
    UNION ALL SELECT 'decode_compute_share_percent', 'decode_gop_per_second', 'compute_peak_gop_per_second'
) s JOIN number a ON a.what = s.part JOIN number b ON b.what = s.whole AND b.job = a.job AND b.round = a.round;

-- Bytes of a step over the sequences that share it: what decode reads in a second over its tokens/s.
INSERT INTO number
SELECT g.job, g.round, 'decode_bytes_per_token', g.value * 1e9 / t.value
FROM number g JOIN number t USING (job, round)
WHERE g.what = 'decode_gb_per_second' AND t.what = 'decode_tokens_per_second';

-- What was told once for a job, by the newest process that loaded it.
CREATE TEMP VIEW told AS
SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY job ORDER BY process DESC, line DESC) AS newness FROM loaded)
WHERE newness = 1;

CREATE TEMP VIEW status AS
SELECT j.job, CASE
    WHEN EXISTS (SELECT 1 FROM outcome o WHERE o.job = j.job AND o.outcome = 'failed') THEN 'failed'
    WHEN EXISTS (
        SELECT 1 FROM sample s WHERE s.job = j.job AND s.phase IN ('prefill', 'decode', 'request', 'multiply')
        GROUP BY s.phase HAVING count(DISTINCT s.digest) > 1
    ) THEN 'failed'
    WHEN EXISTS (SELECT 1 FROM outcome o WHERE o.job = j.job AND o.outcome = 'skipped') THEN 'skipped'
    WHEN EXISTS (SELECT 1 FROM sample s WHERE s.job = j.job AND s.phase <> 'idle') THEN 'measured'
    ELSE 'not run' END AS status
FROM job j;

CREATE TEMP VIEW fact AS
SELECT job, 'threads' AS what, threads * 1.0 AS value FROM job
UNION ALL SELECT job, 'batch', batch FROM job
UNION ALL SELECT job, 'prefill_tokens', prefill_tokens FROM job WHERE layer_rows IS NULL
UNION ALL SELECT job, 'decode_tokens', decode_tokens FROM job WHERE layer_rows IS NULL
UNION ALL SELECT job, 'bits_per_weight', linear_bytes * 8.0 / linear_weights FROM told JOIN status USING (job)
    WHERE status = 'measured' AND linear_weights > 0
UNION ALL SELECT job, 'weights_mb', weights_bytes / 1e6 FROM told JOIN status USING (job) JOIN job USING (job)
    WHERE status = 'measured' AND weights_bytes > 0 AND layer_rows IS NULL
UNION ALL SELECT job, 'linear_mb', linear_bytes / 1e6 FROM told JOIN status USING (job)
    WHERE status = 'measured' AND linear_bytes > 0
UNION ALL SELECT job, 'kv_kb_per_token', kv_bytes_per_position / 1e3 FROM told JOIN status USING (job)
    WHERE status = 'measured' AND kv_bytes_per_position > 0;

-- Numbers of jobs and columns that have one in every window.
CREATE TEMP TABLE whole AS
SELECT n.job, n.round, n.what, n.value FROM number n JOIN status s ON s.job = n.job AND s.status = 'measured'
WHERE NOT EXISTS (SELECT 1 FROM number gap WHERE gap.job = n.job AND gap.what = n.what AND gap.value IS NULL);

CREATE TEMP VIEW median AS
SELECT job, what, avg(value) AS median, of AS n, low, high FROM (
    SELECT *, count(*) OVER w AS of, min(value) OVER w AS low, max(value) OVER w AS high,
        row_number() OVER (PARTITION BY job, what ORDER BY value) AS place
    FROM whole WINDOW w AS (PARTITION BY job, what)
) WHERE place IN ((of + 1) / 2, (of + 2) / 2) GROUP BY job, what;

CREATE TEMP TABLE figure AS
SELECT m.job, m.what, m.median, m.low, m.high, m.n, CASE WHEN m.n > 1 THEN d.mad END AS mad
FROM median m JOIN (
    SELECT job, what, avg(distance) * 1.4826 AS mad FROM (
        SELECT w.job, w.what, abs(w.value - m.median) AS distance, count(*) OVER (PARTITION BY w.job, w.what) AS of,
            row_number() OVER (PARTITION BY w.job, w.what ORDER BY abs(w.value - m.median)) AS place
        FROM whole w JOIN median m USING (job, what)
    ) WHERE place IN ((of + 1) / 2, (of + 2) / 2) GROUP BY job, what
) d USING (job, what);
