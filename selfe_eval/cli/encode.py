"""``selfe-eval encode``: latents and text embeddings of captioned pictures, made once, to train from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli.experiment import interrupted_in
from selfe_eval.cli.terminal import PhaseDisplay, talk
from selfe_eval.errors import UsageError


def encode(  # noqa: PLR0913 - the parameters are the options
    *,
    data: Annotated[Path, typer.Option(help="A folder of pictures with captions, or of WebDataset shards.")],
    autoencoder: Annotated[
        str, typer.Option(metavar="PLACE", help="Directory or hub name of the autoencoder, or of a pipeline.")
    ],
    t5: Annotated[str, typer.Option(metavar="PLACE", help="Directory or hub name of T5, or of a pipeline.")],
    clip: Annotated[
        str, typer.Option(metavar="PLACE", help="Directory or hub name of CLIP, or of a pipeline.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards; the same command goes on in it.")],
    size: Annotated[
        int, typer.Option(help="Pixels of a square of the area that every picture gets.", min=16)
    ] = 256,
    max_aspect: Annotated[
        float, typer.Option(help="Longest side through shortest; 1 crops all to the square.", min=1.0)
    ] = 2.0,
    num_tokens: Annotated[int, typer.Option(help="Tokens of T5; longer captions are cut.", min=1)] = 256,
    fake: Annotated[
        bool, typer.Option("--fake", help='Encode captions with "fake image" too, for the auxiliary term.')
    ] = False,
    dtype: Annotated[
        str, typer.Option(metavar="auto|bf16|fp16|fp32", help="What the text encoders compute in.")
    ] = "auto",
    batch_size: Annotated[int, typer.Option(help="Pictures at a time.", min=1)] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Encode a folder of captioned pictures for `selfe-eval train --data`.

    \b
    Examples:
      selfe-eval encode --data photos --t5 flux --clip flux --autoencoder flux --size 256 --out encoded
      torchrun --nproc-per-node 8 -m selfe_eval encode --data photos --t5 flux --clip flux --autoencoder flux --out encoded
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.devices import resolve_device
    from selfe_eval.ranks import joined
    from selfe_eval.train.encode import DTYPES, EncodeJob, EncodeOptions
    from selfe_eval.train.encode import encode as encode_pictures

    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder (it is made if it is not there).")
    options = EncodeOptions(
        size_px=size, max_aspect=max_aspect, num_tokens=num_tokens, fake=fake, dtype=dtype
    )
    with interrupted_in(out), joined() as ranks, PhaseDisplay() as display:
        job = EncodeJob(
            data=data,
            out=out,
            t5=t5,
            clip=clip,
            autoencoder=autoencoder,
            options=options,
            device=resolve_device(device),
            batch_size=batch_size,
            ranks=ranks,
            on_progress=lambda done, total: display.show("encoding", done, total, {}),
        )
        manifest = encode_pictures(job)
    if ranks.is_first:
        skipped, cut = len(manifest["skipped"]), len(manifest["truncated"])
        talk(
            f"{manifest['rows']} pictures in {len(manifest['shards'])} shards; {skipped} left out, {cut} captions cut "
            f"(named in {out / 'manifest.json'})."
        )
        typer.echo(str(out))
