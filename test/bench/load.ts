/** The load generator's process: takes one job at a time from its parent and answers the result. It ends with its parent. */
import { firstVisits, idleConnections, newConnections } from './load/connections-jobs.ts';
import type { Job, JobKind, JobResult } from './load/job.ts';
import { check, closedLoop, fixedRate } from './load/jobs.ts';
import { eventStreams, http2Streams } from './load/stream-jobs.ts';

const JOBS: Readonly<Record<JobKind, (job: Job) => Promise<JobResult>>> = {
  check,
  closed: closedLoop,
  rate: fixedRate,
  newconn: newConnections,
  hosts: firstVisits,
  idle: idleConnections,
  sse: eventStreams,
  h2: http2Streams,
};

process.on('message', (job: Job) => {
  JOBS[job.kind](job).then(
    (result) => process.send?.({ result }),
    (error: Error) => process.send?.({ failed: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
// A target that resets sockets at the wrong moment must not end the run.
process.on('uncaughtException', (error) => process.send?.({ failed: error.message }));
