"""Small archives, as the sources write them: what the importers' target starts from."""

import io
import json
import zipfile

import zstandard

_ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:blogger="http://schemas.google.com/blogger/">'
    "<entry><id>tag:1</id><blogger:type>POST</blogger:type><blogger:status>LIVE</blogger:status>"
    "<title>A</title><content type='html'>&lt;p&gt;Words&lt;/p&gt;</content>"
    "<updated>2020-01-02T03:04:05Z</updated></entry></feed>"
)
_WXR = (
    '<rss xmlns:wp="http://wordpress.org/export/1.2/" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><item><title>A</title>'
    "<content:encoded><![CDATA[<!-- wp:p --><p>Words [gallery]</p>]]></content:encoded>"
    "<wp:post_id>1</wp:post_id><wp:post_type>post</wp:post_type><wp:status>publish</wp:status>"
    "</item></channel></rss>"
)
_TUMBLR = (
    '<tumblr><posts><post id="1" type="regular">'
    "<regular-title>A</regular-title><regular-body>Hi</regular-body></post></posts></tumblr>"
)
_COMMENTS = 'id,ip,date,subreddit,body\n1,2,2020-01-02 03:04:05 UTC,s,"a\nb"\n'
_CHAT = "[31/12/20, 20:00:00] Ada: Hello\n[31/12/20, 20:01:00] Grace: Hi\nyou\n"
_MAIL = (
    "From a@b Thu Jan  2 03:04:05 2020\nFrom: Ada <a@b>\nTo: c@d\nSubject: =?utf-8?q?Re:_A?=\n"
    "Date: Thu, 2 Jan 2020 03:04:05 +0000\nX-Gmail-Labels: Sent\n"
    "Content-Type: text/plain; charset=utf-8\n\nWords.\n> quoted\n-- \nAda\n\n"
)
_REDDIT = {"id": "a", "author": "ada", "created_utc": "1", "subreddit": "s"}
_REDDIT |= {"body": "**A** [b](c)\n\n> d\n\nEDIT: e", "link_id": "t3_b", "score": 1}
_CHAT_MESSAGES = [
    {"sender_name": "Ada", "timestamp_ms": 1, "content": "Hi"},
    {"sender_name": "Grace", "timestamp_ms": 2, "content": "\u00c3\u00a9"},
]
_DISCORD = {"id": "1", "type": "Default", "timestamp": "2020-01-02T03:04:05+00:00"}
_DISCORD |= {"content": "Hi", "author": {"id": "2", "name": "ada", "isBot": False}}

_TEXTS = {
    "blogger": _ATOM,
    "feed": _ATOM.replace(' xmlns:blogger="http://schemas.google.com/blogger/"', ""),
    "wordpress": _WXR,
    "tumblr": _TUMBLR,
    "whatsapp": _CHAT,
    "mail": _MAIL,
    "markdown": "---\ntitle: A\ndate: 2020-01-02\n---\n# B\n\n[c](d) *e* ![f](g)\n\n```\nh\n```\n",
    "text": "\ufeffTitle: A\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\r\nWords.\r\n",
    "webpage": "<!doctype html><title>A</title><main><h1>A</h1><p>Words.</p></main>",
    "writingprompts": "[ WP ] `` A , '' he did n't ( say ) . <newline> <newline> /r/Stories\n",
    "youtube": 'Comment ID,Text\nUgabcdefghijklm,"{""text"":""Hi""},{""text"":"" you""}"\n',
}
_VALUES = {
    "discord": [{"ID": 1, "Timestamp": "2020-01-02 03:04:05", "Contents": "Hi"}],
    "discord-exporter": {"guild": {}, "channel": {"name": "c"}, "messages": [_DISCORD]},
    "facebook": [{"timestamp": 1, "data": [{"post": "Hi \u00c3\u00a9"}], "title": "A"}],
    "googlechat": {
        "messages": [
            {
                "creator": {"name": "Ada", "email": "a@b"},
                "created_date": "Thursday, January 2, 2020 at 3:04:05\u202fPM UTC",
                "text": "Hi",
            }
        ]
    },
    "hangouts": {
        "conversations": [
            {
                "conversation": {"conversation_id": {"id": "1"}},
                "events": [
                    {
                        "sender_id": {"gaia_id": "2"},
                        "timestamp": "1577934245000000",
                        "chat_message": {"message_content": {"segment": [{"text": "Hi"}]}},
                    }
                ],
            }
        ]
    },
    "keep": {"isTrashed": False, "userEditedTimestampUsec": 1, "textContent": "Hi", "title": "A"},
    "mastodon": {
        "orderedItems": [
            {
                "type": "Create",
                "object": {
                    "id": "https://a/1",
                    "content": "<p>Hi</p>",
                    "published": "2020-01-02T03:04:05Z",
                    "to": ["https://www.w3.org/ns/activitystreams#Public"],
                },
            }
        ]
    },
    "messenger": {"participants": [{"name": "Ada"}], "messages": _CHAT_MESSAGES, "title": "A"},
    "reddit": _REDDIT,
    "telegram": {
        "name": "A",
        "type": "personal_chat",
        "id": 1,
        "messages": [
            {
                "id": 1,
                "type": "message",
                "date": "2020-01-02T03:04:05",
                "from": "Ada",
                "text": ["Hi ", {"type": "bold", "text": "you"}],
            }
        ],
    },
}
_TWEET = {"tweet": {"id_str": "1", "full_text": "Hi &amp; https://t.co/a", "created_at": "x"}}


def archives() -> dict[str, bytes]:
    """Names and inputs: a source's name and a line feed, and a file's bytes."""
    files = {name: text.encode() for name, text in _TEXTS.items()}
    files |= {name: json.dumps(value).encode() for name, value in _VALUES.items()}
    files["twitter"] = b"window.YTD.tweets.part0 = " + json.dumps([_TWEET]).encode()
    files["epub"] = _book()
    made = {name: name.encode() + b"\n" + content for name, content in files.items()}
    line = json.dumps(_REDDIT).encode() + b"\n"
    made["reddit-list"] = b"reddit\n" + json.dumps([_REDDIT]).encode()
    made["reddit-zst"] = b"reddit\n" + zstandard.compress(line * 2)
    made["reddit-csv"] = b"reddit\n" + _COMMENTS.encode()
    made["mail-html"] = b"mail\n" + _MAIL.replace("/plain", "/html").encode()
    return made


def _book() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="a.opf"/></rootfiles></container>',
        )
        book.writestr(
            "a.opf",
            "<package><metadata><title>A</title></metadata><manifest>"
            '<item id="1" href="1.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="1"/></spine></package>',
        )
        book.writestr("1.xhtml", "<html><body><h1>One</h1><p>Words.</p></body></html>")
    return out.getvalue()
