"""What the command says to people while it starts and ends, in Japanese and English.

Results (`print_rows`) and errors about a configuration are English in both; their words are those of the standards.
"""

from __future__ import annotations

import locale
import os

from shinkei_events.errors import BadConfig

LANGUAGES = ("ja", "en")

TEXTS: dict[str, dict[str, str]] = {
    "folder": {
        "en": "Shinkei demo. Everything it keeps is in {folder}",
        "ja": "Shinkei デモです。データはすべて {folder} に保存します。",
    },
    "history": {
        "en": "First start: the line's last 8 hours are being written, so that the boards are not empty.",
        "ja": "初回起動: ラインの過去8時間を作成し、画面に表示します。",
    },
    "again": {
        "en": "What was stored here before is kept.",
        "ja": "前回保存したデータを引き継ぎます。",
    },
    "port_taken": {
        "en": "Port {wanted} is taken by another program; the board takes {port}.",
        "ja": "ポート {wanted} は使用中のため、{port} を使います。",
    },
    "starting": {"en": "Starting: {names}", "ja": "起動中: {names}"},
    "ready": {"en": "  ready after {after:.1f} s: {title}", "ja": "  {after:.1f} 秒で準備完了: {title}"},
    "ready_again": {"en": "  {title} is back.", "ja": "  {title}が復旧しました。"},
    "crashed": {
        "en": "  {title} ended unexpectedly ({code}); it is started again in {again_in:g} s. {last}",
        "ja": "  {title}が異常終了しました ({code})。{again_in:g} 秒後に再起動します。{last}",
    },
    "stuck": {
        "en": "  {title} has not started {times} times: {last}\n  Look at: its log {log}, and the disk of {folder} ({free:.0f} MB free). It is tried on every 10 s.",
        "ja": "  {title}は {times} 回続けて起動に失敗しました: {last}\n  ログ {log} と、{folder} のディスク (空き {free:.0f} MB) を確認してください。10 秒ごとに再試行します。",
    },
    "disk_full": {
        "en": "The disk is full: {free:.1f} MB are free for {folder}. Free some space; all goes on by itself then.",
        "ja": "ディスクの空きがありません: {folder} の空きは {free:.1f} MB です。空きができると自動的に再開します。",
    },
    "disk_room": {
        "en": "The disk has room again: {free:.0f} MB are free for {folder}.",
        "ja": "ディスクに空きができました: {folder} の空きは {free:.0f} MB です。",
    },
    "gave_up": {
        "en": "  {title} cannot run with this configuration: {last} (log: {log})",
        "ja": "  {title}はこの設定では動きません: {last} (ログ: {log})",
    },
    "killed": {
        "en": "  {title} did not end in time and was ended.",
        "ja": "  {title}が時間内に終わらないため、強制終了しました。",
    },
    "slow": {
        "en": "Still waiting for: {names}. The logs are in {logs}",
        "ja": "まだ待っています: {names}。ログは {logs} にあります。",
    },
    "how_to_end": {"en": "Ctrl-C ends everything.", "ja": "Ctrl-C ですべて終了します。"},
    "board": {"en": "The board is live: {url}", "ja": "ボードを表示できます: {url}"},
    "running": {"en": "All parts run.", "ja": "すべての部分が動いています。"},
    "ending": {"en": "Ending …", "ja": "終了しています…"},
    "ended": {
        "en": "Ended; nothing is left running. What was stored is kept.",
        "ja": "終了しました。保存したデータは残ります。",
    },
    "same_folder": {
        "en": "A Shinkei is already running in {folder} (process {pid}). End it first, or choose another folder with --dir.",
        "ja": "{folder} ではすでに Shinkei が動いています (プロセス {pid})。終了するか、--dir で別のフォルダを指定してください。",
    },
    "part.log": {"en": "log (in memory)", "ja": "ログ (メモリ上)"},
    "part.database": {"en": "database", "ja": "データベース"},
    "part.plant": {"en": "machines of the simulated line", "ja": "模擬ラインの設備"},
    "part.gateway": {"en": "gateway", "ja": "ゲートウェイ"},
    "part.store": {"en": "recorder", "ja": "記録"},
    "part.detect": {"en": "detector", "ja": "異常検知"},
    "part.trace": {"en": "lineage", "ja": "トレース"},
    "part.alerts": {"en": "alarms", "ja": "アラーム"},
    "part.ui": {"en": "screens", "ja": "画面"},
}


class Words:
    """Texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with its values."""
        return TEXTS[key][self.language].format(**values)

    def part(self, name: str) -> str:
        """A part's name for people; its short name when there is none."""
        return TEXTS.get(f"part.{name}", {}).get(self.language, name)

    def parts(self, names: list[str]) -> str:
        """Several parts' names in one line."""
        return ("、" if self.language == "ja" else ", ").join(self.part(name) for name in names)


def language(given: str | None = None) -> str:
    """``--lang``, else SHINKEI_LANG, else the locale's; English when it is neither.

    Raises `BadConfig` for a SHINKEI_LANG that is no language of ours: the screens would speak another one than was asked for.
    """
    wish = os.environ.get("SHINKEI_LANG", "")
    if wish and wish.lower().replace("_", "-").split("-")[0] not in LANGUAGES:
        raise BadConfig("SHINKEI_LANG", wish, f"expected {' or '.join(LANGUAGES)}")
    for found in (
        given,
        os.environ.get("SHINKEI_LANG"),
        *(os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")),
    ):
        if found:
            return "ja" if found.lower().startswith("ja") else "en"
    return "ja" if (locale.getlocale()[0] or "").lower().startswith("ja") else "en"
