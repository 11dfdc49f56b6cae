"""Several gateways on one machine under one supervisor: gunicorn's arbiter, with workers that run our own ``Gateway``.

gunicorn forks, watches and replaces; nothing of HTTP here is its or aiohttp's worker's. What holds:

- All workers accept from the same two sockets, which the supervisor holds open: a worker that dies, or another version
  that takes over (SIGUSR2), refuses no connection. With a socket for each (SO_REUSEPORT) what waits in one would be
  reset with its worker.
- The config is read once before any worker is forked. A later one is in force in all workers or in none
  (``together.py``), and whoever replaces a worker begins with what is in force, whatever the files say by then.
- SIGTERM and SIGINT drain as in a single process; a second one, or SIGQUIT, cuts. SIGTTIN and SIGTTOU add a worker and
  take one away. A worker that the supervisor leaves alone, because that was killed, drains as well.
- A worker that dies is replaced at once, one that cannot start after a while that doubles up to ten seconds; one whose
  loop has not turned for 30 s is killed. When the first ones cannot start, the supervisor gives up with their error.
- systemd hears from the supervisor alone: ready when all workers serve.

Imported only where a config asks for more than one worker: gunicorn is an extra.
"""

from aiogate.server.workers.supervisor import supervise

__all__ = ["supervise"]
