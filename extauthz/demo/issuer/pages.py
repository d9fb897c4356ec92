"""The two pages that people see: who are you, and what went wrong."""

import html
from collections.abc import Iterable, Mapping
from typing import Final

from extauthz.demo.issuer.realm import Application, User

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5d6778;--line:#d8dde6;--page:#f4f6fa;--card:#fff;--go:#1d5fd1}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf3;--soft:#9aa5b8;--line:#333c4c;--page:#12161d;--card:#1b212b;
--go:#5b93f5}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
main{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:28px;max-width:30rem;width:92vw;
margin:2rem 0}
h1{font-size:1.25rem;margin:0 0 .25rem}
p{margin:.4rem 0;color:var(--soft)}
code{font:13px ui-monospace,monospace;color:var(--ink);overflow-wrap:anywhere}
.banner{background:#8a1c1c;color:#fff;border-radius:8px;padding:.35rem .75rem;font-size:.85rem;margin-bottom:1.2rem}
dl{margin:1rem 0;padding:.75rem 1rem;border:1px solid var(--line);border-radius:10px}
dt{font-size:.8rem;color:var(--soft)}dd{margin:0 0 .5rem}dd:last-child{margin:0}
label{display:flex;gap:.7rem;align-items:center;border:1px solid var(--line);border-radius:10px;padding:.6rem .9rem;
margin:.5rem 0;cursor:pointer}
label small{color:var(--soft);display:block}
fieldset{border:0;padding:0;margin:0}legend{padding:0;font-weight:600}
.buttons{display:flex;gap:.75rem;margin-top:1.2rem}
button{flex:1;font:inherit;padding:.6rem;border-radius:10px;border:1px solid var(--line);background:none;
color:var(--ink);cursor:pointer}
button[value=allow]{background:var(--go);border-color:var(--go);color:#fff;font-weight:600}
"""

_BANNER: Final = "Demo issuer: no passwords, not for production"


def consent_page(application: Application, users: Iterable[User], parameters: Mapping[str, str]) -> str:
    """Ask who is signing in and whether the client may have what it asks for. Posts to the page's own address."""
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in parameters.items()
    )
    people = "".join(_person(user, checked=number == 0) for number, user in enumerate(users))
    scope = parameters.get("scope", "")
    scopes = " ".join(f"<code>{html.escape(each)}</code>" for each in scope.split()) or "nothing in particular"
    resource = parameters.get("resource", "")
    return _page(
        "Sign in",
        f"""<h1>Sign in to continue</h1>
<p>Pick who you are; the client gets a token in that name.</p>
<dl><dt>Client</dt><dd>{html.escape(application.display_name or application.name)}
<code>{html.escape(application.client_id)}</code></dd>
<dt>Asks for the scopes</dt><dd>{scopes}</dd>
<dt>For the server</dt><dd>{f"<code>{html.escape(resource)}</code>" if resource else "none named"}</dd>
<dt>Answer goes to</dt><dd><code>{html.escape(parameters.get("redirect_uri", ""))}</code></dd></dl>
<form method="post">{hidden}<fieldset><legend>Who are you?</legend>{people}</fieldset>
<div class="buttons"><button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div></form>""",
    )


def error_page(message: str) -> str:
    """Tell a person why the client's request cannot go on."""
    return _page("Cannot continue", f"<h1>Cannot continue</h1><p>{html.escape(message)}</p>")


def _person(user: User, *, checked: bool) -> str:
    name = html.escape(f"{user.organization}/{user.name}")
    roles = html.escape(", ".join(user.roles) or "no roles")
    return (
        f'<label><input type="radio" name="user" value="{name}"{" checked" if checked else ""}>'
        f"<span>{html.escape(user.display_name or user.name)}<small>{name}: {roles}</small></span></label>"
    )


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} - extauthz demo issuer</title><style>{_STYLE}</style>"
        f'<main><div class="banner">{_BANNER}</div>{content}</main></html>'
    )
