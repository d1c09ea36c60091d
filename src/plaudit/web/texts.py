"""What the labelling app says, in the user's language: the pages' words, the server's own sentences, and the figures'.

The pages' words are in `locales/LANGUAGE.json`, a flat table from key to text. The server's own sentences are here, by
code; the codes are part of the API: a refusal is `{"error": code, "message": sentence}`. What the quality report says
in words is English; `locales/figures/LANGUAGE.json` has those sentences by their patterns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from plaudit.feedback.quality.annotators import Sentence

LANGUAGES = {"en": "English", "ja": "日本語"}
DEFAULT_LANGUAGE = "en"

SENTENCES: dict[str, dict[str, str]] = {
    "signed-out": {"en": "Sign in to go on.", "ja": "続けるにはサインインしてください。"},
    "csrf": {
        "en": "This page is out of date: reload it and try again.",
        "ja": "このページは古くなっています。再読み込みしてから、もう一度お試しください。",
    },
    "role": {"en": "Only a lead may do this.", "ja": "この操作はリードのみが行えます。"},
    "not-found": {"en": "There is nothing here for you.", "ja": "ここに表示できるものはありません。"},
    "method": {"en": "This cannot be done here.", "ja": "ここではこの操作はできません。"},
    "conflict": {
        "en": "This does not fit what is stored: it was changed or answered elsewhere meanwhile.",
        "ja": "保存されている内容と一致しません。別の場所で変更または回答された可能性があります。",
    },
    "too-large": {"en": "This is too large: at most {limit} KB.", "ja": "大きすぎます。上限は {limit} KB です。"},
    "too-many-versions": {
        "en": "This was changed {most} times already. It stays as it is.",
        "ja": "すでに {most} 回変更されています。これ以上は変更できません。",
    },
    "too-slow": {
        "en": "This took too long to arrive. Try again.",
        "ja": "受信に時間がかかりすぎました。もう一度お試しください。",
    },
    "malformed": {"en": "This cannot be read: {what}.", "ja": "内容を読み取れません：{what}"},
    "slow-down": {
        "en": "Too many attempts. Wait {minutes} minutes and try again.",
        "ja": "試行回数が多すぎます。{minutes} 分待ってから、もう一度お試しください。",
    },
    "unavailable": {
        "en": "The feedback store cannot be used right now. Try again in a moment.",
        "ja": "現在データベースを利用できません。しばらくしてから、もう一度お試しください。",
    },
    "crowded": {
        "en": "Many people are signing in right now. Try again in a moment.",
        "ja": "現在サインインが集中しています。しばらくしてから、もう一度お試しください。",
    },
    "bug": {
        "en": "Something went wrong on our side. It is in the server's log.",
        "ja": "サーバーで問題が発生しました。詳細はサーバーのログに記録されています。",
    },
    "host": {
        "en": "This server does not answer under that name.",
        "ja": "このサーバーはその名前では応答しません。",
    },
    "wrong-sign-in": {
        "en": "Name and password do not match.",
        "ja": "名前とパスワードが一致しません。",
    },
    "link-used": {
        "en": "This link was used already, or is no longer valid. Ask for a new one.",
        "ja": "このリンクは使用済みか、有効期限が切れています。新しいリンクを依頼してください。",
    },
    "name-taken": {
        "en": "This name is taken, or looks like one that is. Choose another.",
        "ja": "この名前、または見分けにくい名前が使用されています。別の名前を選んでください。",
    },
    "name-improper": {
        "en": "A name has 1 to 60 characters of one script, at least one letter or digit among them, no colons and "
        "nothing invisible, and is not one of the program's own.",
        "ja": "名前は 1～60 文字で、文字か数字が必要です。異なる文字体系の混在、コロン、不可視文字は使えません。"
        "プログラムが使う名前も選べません。",
    },
    "password-short": {
        "en": "A password has at least {least} characters.",
        "ja": "パスワードは {least} 文字以上にしてください。",
    },
    "password-long": {
        "en": "A password has at most {most} characters.",
        "ja": "パスワードは {most} 文字以下にしてください。",
    },
    "password-weak": {
        "en": "This password is too easily guessed: names, common words, years and neighbouring keys are tried first. "
        "Take a few words that have nothing to do with each other.",
        "ja": "このパスワードは推測されやすすぎます。名前、よくある単語、年号、キーの並びは最初に試されます。"
        "互いに関係のない単語をいくつか組み合わせてください。",
    },
    "password-wrong": {"en": "The current password is not right.", "ja": "現在のパスワードが正しくありません。"},
    "language-unknown": {"en": "There is no such language here.", "ja": "その言語には対応していません。"},
    "not-yours-to-change": {
        "en": "You may not change this account.",
        "ja": "このアカウントを変更する権限がありません。",
    },
    "guidelines-empty": {"en": "There is no text to publish.", "ja": "公開する文章がありません。"},
    "settings-changed": {
        "en": "Somebody else changed the settings meanwhile: {what}. Nothing was saved; your entries are below. Check "
        "them against that, and save again.",
        "ja": "その間に別の人が設定を変更しました：{what}。まだ保存されていません。"
        "下の入力内容と見比べて、もう一度保存してください。",
    },
    "guidelines-changed": {
        "en": "Somebody else published version {version} meanwhile. Nothing was published; your text is below. "
        "Bring both together, and publish again.",
        "ja": "その間に別の人がバージョン {version} を公開しました。まだ公開されていません。"
        "下の文章と照らし合わせて、もう一度公開してください。",
    },
    "settings-wrong": {"en": "The settings do not fit: {what}", "ja": "設定が正しくありません：{what}"},
    "token-ended": {
        "en": "This token is not one of ours, or has ended. Make a new one on your account page.",
        "ja": "このトークンは無効か、期限が切れています。アカウントのページで新しいトークンを作成してください。",
    },
    "token-scope": {
        "en": "This token is for something else: make one for “{scope}”.",
        "ja": "このトークンの用途は異なります。用途が “{scope}” のトークンを作成してください。",
    },
    "too-many-tokens": {
        "en": "You have {most} tokens. Revoke one that is not needed.",
        "ja": "トークンが {most} 個あります。不要なものを無効にしてください。",
    },
    "too-many-tokens-today": {
        "en": "You have made {most} tokens within a day. Come again tomorrow.",
        "ja": "1 日に作成できるトークンは {most} 個までです。明日もう一度お試しください。",
    },
    "oidc-wrong": {
        "en": "This sign-in is over or not in order. Begin again at the sign-in page.",
        "ja": "このサインインは終了しているか、正しくありません。サインインのページからやり直してください。",
    },
    "oidc-away": {
        "en": "{provider} cannot be reached right now. Try again in a moment.",
        "ja": "現在 {provider} に接続できません。しばらくしてから、もう一度お試しください。",
    },
    "oidc-unknown": {
        "en": "No account here belongs to this sign-in. Your lead can give you a link.",
        "ja": "このサインインに対応するアカウントがありません。リードからリンクを受け取ってください。",
    },
    "oidc-taken": {
        "en": "This sign-in belongs to another account here already.",
        "ja": "このサインインは、すでに別のアカウントで使用されています。",
    },
    "no-figures": {"en": "{why}", "ja": "{why}"},
    "reason-missing": {"en": "Say why.", "ja": "理由を入力してください。"},
}
LOCALES = Path(__file__).parent / "locales"
RETRY_SECONDS = 5  # after which to come again where much is asked at once
Translate = Callable[..., str]
Tell = Callable[[str], str]


def sentence(code: str, language: str, **values: Any) -> str:
    return SENTENCES[code].get(language, SENTENCES[code][DEFAULT_LANGUAGE]).format(**values)


class RefusalError(Exception):
    """A request that is turned down: the status, and the sentence's code and values."""

    def __init__(self, status: int, code: str, *, retry_seconds: int | None = None, **values: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.values = values
        self.retry_seconds = retry_seconds

    def sentence(self, language: str) -> str:
        return sentence(self.code, language, **self.values)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}


@cache
def texts(language: str) -> dict[str, str]:
    """Every text of a language; what it lacks is there in English."""
    file = LOCALES / f"{language}.json"
    own: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return own if language == DEFAULT_LANGUAGE else {**texts(DEFAULT_LANGUAGE), **own}


def translator(language: str) -> Translate:
    """`t(key, **values)`: the text with its `{value}`s filled in; an unknown key is shown as it is."""
    known = texts(language)

    def t(key: str, **values: Any) -> str:
        text = known.get(key, key)
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    return t


@cache
def patterns(language: str) -> dict[str, str]:
    """English pattern of a sentence about figures -> its pattern in the language; empty for English."""
    file = LOCALES / "figures" / f"{language}.json"
    return {} if language == DEFAULT_LANGUAGE else json.loads(file.read_text(encoding="utf-8"))


def teller(language: str) -> Tell:
    """`tell(sentence)`: what the quality report says in English, in the language; unknown, it stays as it is."""
    known = patterns(language)

    def tell(english: str) -> str:
        if not isinstance(english, Sentence):
            return known.get(english, english)
        values = {hole: tell(value) if isinstance(value, Sentence) else value for hole, value in english.values.items()}
        return known.get(english.pattern, english.pattern).format(**values)

    return tell


def accepted_language(header: str | None) -> str:
    """What a browser asks for (`Accept-Language`, in its order of preference), as far as it is there."""
    for wanted in (header or "").split(","):
        language = wanted.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return language
    return DEFAULT_LANGUAGE
