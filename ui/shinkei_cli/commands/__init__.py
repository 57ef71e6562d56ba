"""One module per word after ``shinkei``; each has ``register(subparsers) -> None``.

The module is imported only when its word is typed (see `shinkei_cli.main`), so it may import at the top whatever is cheap, and
imports clients, drivers and models inside the functions that need them.

A part's module looks like this::

    def register(subparsers: Subparsers) -> None:
        commands = add_part(subparsers, "trace")          # the parser of the part, with its `run` command already there
        backward = commands.add_parser("backward", help="where a unit came from")
        backward.add_argument("unit")
        add_config(backward)                               # --config and --dir
        add_format(backward)                               # --format table|json|csv
        backward.set_defaults(handler=_backward)

    def _backward(args: argparse.Namespace) -> int:        # the exit code: 0 done, 1 the answer is no
        plant = plant_of(args)
        print_rows(rows, ("unit", "machine"), args.format)
        return DONE

Errors are not caught here: `BadConfig` ends with 2, `NotConnected` with 3, any other `ShinkeiError` with 1, each as one line.
"""
