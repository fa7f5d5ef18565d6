"""The Hugging Face Hub's real layout on a loopback server: its interface, its files behind redirects."""

import hashlib
import io
import json

SHA = "5f0c2d9a1b3e4c6d7e8f90a1b2c3d4e5f6a7b8c9"
CARD = {"license": "cc-by-4.0", "pretty_name": "Drawn faces"}


def table(columns):
    """The bytes of a parquet file, as the package `datasets` writes pictures: a dict of lists by column."""
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, row_group_size=2)
    return file.getvalue()


def pictures(contents):
    return [{"bytes": content, "path": f"{number}.jpg"} for number, content in enumerate(contents)]


def serve_dataset(server, dataset, files, card=CARD, gated=False, branch=None):
    """Puts a dataset on a server: a dict of contents by file name. Large files lie in storage, behind a redirect."""
    siblings = []
    for name, content in files.items():
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        digest = hashlib.sha256(content).hexdigest()
        at = f"/datasets/{dataset}/resolve/{(branch or SHA).replace('/', '%2F')}/{name}"
        one = {"rfilename": name, "size": len(content), "blobId": git}
        if name.endswith((".parquet", ".zip")):
            one["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            server.script[at] = f"moved {server.address}/storage/{name}"
            server.files[f"/storage/{name}"] = content
            server.tags[f"/storage/{name}"] = f'"{digest}"'
        else:
            server.files[at] = content
        siblings.append(one)
    said = {"id": dataset, "author": dataset.split("/")[0], "sha": SHA, "private": False, "gated": gated}
    said |= {"disabled": False, "tags": [], "downloads": 1, "likes": 0, "cardData": card, "siblings": siblings}
    for at in listings(dataset, branch):
        server.files[at] = json.dumps(said).encode()


def listings(dataset, branch=None):
    """The addresses by which older and newer clients ask for a dataset's listing."""
    at = f"/api/datasets/{dataset}" + (f"/revision/{branch.replace('/', '%2F')}" if branch else "")
    return f"{at}?blobs=true", f"{at}?blobs=True"
