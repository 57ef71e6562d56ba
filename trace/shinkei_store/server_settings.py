"""The embedded server's settings, all on its command line: nothing is edited in the cluster's own files."""

from __future__ import annotations

import os

MIB = 2**20


def server_settings(memory_bytes: int | None = None) -> dict[str, str]:
    """Settings by PostgreSQL's names. ``memory_bytes``: the machine's memory (asked of the system when None).

    Shared buffers are a 24th of it within 128 MiB ... 1 GiB: other programs live on the machine, and the kernel caches as well.
    ``max_wal_size`` bounds recovery to some 10 s. No parallel query and no JIT: on few cores both cost more than they give.
    """
    memory = memory_bytes if memory_bytes is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    buffers = min(max(memory // 24 // MIB, 128), 1024)
    return {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "shared_buffers": f"{buffers}MB",
        "effective_cache_size": f"{max(memory // 2 // MIB, 256)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "64MB" if memory < 8 << 30 else "256MB",
        "max_connections": "80",
        "max_wal_size": "1GB",
        "min_wal_size": "128MB",
        "checkpoint_timeout": "10min",
        "wal_compression": "pglz",
        "random_page_cost": "1.1",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%a ",
        "cluster_name": "shinkei",
    }
