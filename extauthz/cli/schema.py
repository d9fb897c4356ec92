"""`extauthz schema`: the JSON Schema of the policy file, for editors and charts."""

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of the policy file.

    An editor that knows the schema completes keys and marks misspelt ones:

    \b
      extauthz schema > extauthz.schema.json
      # yaml-language-server: $schema=extauthz.schema.json     (first line of extauthz.yaml)
    """
    from extauthz.config.policy_file.policy_schema import policy_json_schema  # noqa: PLC0415 - pydantic, only for this command

    # The text of our own descriptions, as written: nobody else has a word in it.
    click.echo(json.dumps(policy_json_schema(), indent=2, ensure_ascii=False))
