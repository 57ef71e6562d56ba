"""``python -m shinkei_cli`` is ``shinkei``; the supervisor starts its children this way, so no script needs to be on the path."""

from shinkei_cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
