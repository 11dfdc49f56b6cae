"""``aiogate plugins``: what is installed, what is enabled, in which order, and why something did not load."""

import os
from pathlib import Path
from typing import Any

import click
import orjson

from aiogate.errors import SettingsError
from aiogate.pipeline.discover import InstalledPlugins, PluginReport
from aiogate.settings.load import load_settings

__all__ = ["plugins"]


@click.command(
    help="""List the installed plugins.

    \b
    Example:
        aiogate plugins --config conf/gateway.toml
    """
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="AIOGATE_CONFIG",
    help="Tell which plugins this config enables, and in which order.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def plugins(config: Path | None, *, as_json: bool) -> None:
    """List the installed plugins."""
    installed = InstalledPlugins()
    order = _order(config, installed)
    rows = [_row(report, order) for report in installed.reports()]
    rows.sort(key=lambda row: (row["order"] is None, row["order"], row["name"]))
    if as_json:
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    for row in rows:
        place = f"{row['order']}." if row["order"] is not None else "-"
        what = row["error"] or ", ".join(row["hooks"])
        click.echo(f"{place:<4}{row['name']:<14}{row['distribution']} {row['version']:<10}{what}")


def _order(config: Path | None, installed: InstalledPlugins) -> tuple[str, ...]:
    if config is None:
        return ()
    try:
        return load_settings(config, installed, os.environ).pipeline.plugins
    except SettingsError as error:
        click.echo(f"{error}\n(the list below is of what is installed)", err=True)
        return ()


def _row(report: PluginReport, order: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": report.name,
        "distribution": report.distribution,
        "version": report.version,
        "enabled": report.name in order,
        "order": order.index(report.name) + 1 if report.name in order else None,
        "hooks": report.hooks,
        "enforces": report.enforces,
        "error": report.error,
    }
