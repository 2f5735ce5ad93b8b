"""The page that the Flask app and the Django app both show: what a server has to carry for them.

Links are relative, so that the page also works behind a proxy that adds a prefix.
"""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{framework}</title>
<link rel="stylesheet" href="static/style.css">
<h1>{framework} on this server</h1>
<form action="form" method="post">
  <p><label>Your name <input name="name"></label> <button>Send the form</button></p>
</form>
<form action="upload" method="post" enctype="multipart/form-data">
  <p><label>A file <input name="file" type="file"></label> <button>Upload it</button></p>
</form>
<ul>
  <li><a href="cookie?colour=green">set a cookie</a>, <a href="cookie">read it</a></li>
  <li><a href="visits">count visits in a session</a></li>
  <li><a href="old">follow a redirect</a></li>
  <li><a href="stream">stream three lines</a></li>
  <li><a href="fail">raise an error</a></li>
</ul>
"""

# A real site reads its key from outside the code: whoever knows it can forge a session.
SECRET = "everybody can read this key"


def three_events():
    """Yield the body of /events, three server-sent events."""
    for number in (1, 2, 3):
        yield f"id: {number}\ndata: event {number}\n\n"


def three_lines():
    """Yield the body of /stream in three pieces."""
    for number in ("one", "two", "three"):
        yield f"line {number}\n"
