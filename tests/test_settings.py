"""The settings and where they come from."""

import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest

from pierhead.configuration import Given, allowed, effective_toml, load, sections_by_name, tables_by_name
from pierhead.errors import ConfigurationError
from pierhead.settings import ServerSettings, Settings


def mistakes(
    toml: str = "", tmp_path: Path | None = None, flags: dict[tuple[str, str], Given] | None = None, **environment: str
) -> list[str]:
    path = tmp_path / "pierhead.toml" if tmp_path else None
    if path:
        path.write_text(toml)
    with pytest.raises(ConfigurationError) as caught:
        load(path, flags, environment)
    return caught.value.mistakes


def test_without_any_source_the_defaults_hold() -> None:
    configuration = load(environment={})

    assert configuration.settings == Settings()
    assert configuration.sources == {}


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text("[server]\nport = 1\nbacklog = 200\nworkers = 3\n")
    environment = {"PIERHEAD_SERVER_PORT": "2", "PIERHEAD_SERVER_WORKERS": "4"}

    configuration = load(file, {("server", "port"): Given("3", "--port")}, environment)

    server = configuration.settings.server
    assert (server.port, server.workers, server.backlog) == (3, 4, 200)
    assert configuration.sources["server", "port"] == "--port"
    assert configuration.sources["server", "workers"] == "PIERHEAD_SERVER_WORKERS"
    assert configuration.sources["server", "backlog"] == str(file)


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text("[listing]\npage_size = 7\n")

    assert load(environment={"PIERHEAD_CONFIG": str(file)}).settings.listing.page_size == 7


def test_every_mistake_is_told_at_once_with_key_source_value_and_what_is_allowed(tmp_path: Path) -> None:
    toml = "[server]\nprot = 5000\nport = 70000\n[manifest]\n[cache]\nrows = 'many'\n"

    told = mistakes(toml, tmp_path, {("log", "format"): Given("xml", "--log-format")}, PIERHEAD_SERVER_WORKERS="-1")

    file = tmp_path / "pierhead.toml"
    assert told == [
        f"server.prot ({file}): no such setting; did you mean port?",
        f"[manifest] ({file}): no such setting; did you mean manifests?",
        f"server.port = 70000 ({file}): must be a whole number from 0 to 65535",
        "server.workers = '-1' (PIERHEAD_SERVER_WORKERS): must be a whole number from 0 to 256",
        f"cache.rows = 'many' ({file}): must be a whole number from 0 to 10000000",
        "log.format = 'xml' (--log-format): must be auto or console or json",
    ]


def test_an_unknown_variable_is_a_mistake_with_a_suggestion_and_without_its_value() -> None:
    assert mistakes(PIERHEAD_ACCESS_HTPASWD="hunter2") == [
        "PIERHEAD_ACCESS_HTPASWD (environment): no such setting; did you mean PIERHEAD_ACCESS_HTPASSWD?"
    ]


def test_the_variables_kubernetes_sets_for_a_service_of_our_name_are_no_mistake() -> None:
    environment = {
        "PIERHEAD_SERVICE_HOST": "10.0.0.1",
        "PIERHEAD_SERVICE_PORT": "5000",
        "PIERHEAD_SERVICE_PORT_HTTP": "5000",
        "PIERHEAD_PORT": "tcp://10.0.0.1:5000",
        "PIERHEAD_PORT_5000_TCP_ADDR": "10.0.0.1",
    }

    assert load(environment=environment).settings == Settings()


def test_credentials_in_a_url_are_not_repeated() -> None:
    [told] = mistakes(PIERHEAD_SERVER_PUBLIC_URL="https://me:hunter2@example.org")

    assert told.startswith("server.public_url = *** (PIERHEAD_SERVER_PUBLIC_URL): must be http://HOST[:PORT]")


def test_a_password_in_the_query_of_a_url_is_not_repeated() -> None:
    [told] = mistakes(PIERHEAD_DATABASE_URL="postgresq://db.example.org/pierhead?password=hunter2")

    assert told.startswith("database.url = *** (PIERHEAD_DATABASE_URL): must be postgresql://[USER[:PASSWORD]@]HOST")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2/more@db/pierhead",  # ends the authority: `hunter2` would be its port
        "postgresql://me@db:54x/pierhead",
        "postgresql://me@[::1/pierhead",
        "postgresql://me@db,more:x/pierhead",
        "postgres:me@db/pierhead",
    ],
)
def test_a_url_of_a_database_is_read_before_it_is_used(url: str) -> None:
    [told] = mistakes(PIERHEAD_DATABASE_URL=url)

    assert told.startswith("database.url = *** ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db",
        "postgres://me:hunter2%2Fmore@db:5432/pierhead?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://me:a@b@[fe80::1]:5432/pierhead",
        "postgresql://me@one:5432,two:5433,three/pierhead?target_session_attrs=primary",
        "postgresql:///pierhead?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/pierhead",
    ],
)
def test_a_url_of_a_database_has_many_shapes(url: str) -> None:
    given = load(environment={"PIERHEAD_DATABASE_URL": url}).settings.database.url

    assert given is not None
    assert given.get_secret_value() == url


@pytest.mark.parametrize("toml", ["password = hunter2", "[server]\nport = 1\nport = 2", "\x00"])
def test_a_file_that_is_no_toml_is_refused_without_repeating_it(toml: str, tmp_path: Path) -> None:
    [told] = mistakes(toml, tmp_path)

    assert "is not TOML" in told
    assert "hunter2" not in told


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    [told] = mistakes(PIERHEAD_CONFIG=str(tmp_path / "none.toml"))

    assert told.endswith("cannot be read: No such file or directory")


def test_sizes_take_units_and_lists_take_commas() -> None:
    environment = {
        "PIERHEAD_MANIFESTS_MAX_SIZE": "8MiB",
        "PIERHEAD_UPLOADS_MAX_SIZE": "1073741824",
        "PIERHEAD_SERVER_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "PIERHEAD_ACCESS_ALLOW_ANONYMOUS": "true",
    }

    settings = load(environment=environment).settings

    assert settings.manifests.max_size == 8 * 1024 * 1024
    assert settings.uploads.max_size == 1024**3
    assert settings.server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.access.allow_anonymous is True


@pytest.mark.parametrize("size", ["1.5MiB", "-1", "MiB", "9" * 30 + "KiB", "4 megabytes"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    [told] = mistakes(PIERHEAD_MANIFESTS_MAX_SIZE=size)

    assert "must be a number of bytes, such as 65536 or 4MiB" in told


def test_a_key_without_a_certificate_is_a_mistake() -> None:
    assert mistakes(PIERHEAD_SERVER_TLS_KEY="key.pem") == [
        "server.tls_key (PIERHEAD_SERVER_TLS_KEY): needs server.tls_certificate too"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "missing"),
    [
        ("first_admin", "root", "first_admin_password_file"),
        ("first_admin_password_file", "secret", "first_admin"),
    ],
)
def test_a_first_administrator_has_a_name_and_a_password(
    variable: str, value: str, missing: str, tmp_path: Path
) -> None:
    told = mistakes(f"[access]\n{variable} = '{value}'\n", tmp_path)

    assert [text.partition(" (")[0] for text in told] == [f"access.{variable}"]
    assert told[0].endswith(f"needs access.{missing} too")


def test_the_setup_page_is_a_page() -> None:
    [told] = mistakes(PIERHEAD_ACCESS_SETUP="true", PIERHEAD_PAGES_ENABLED="false")

    assert "needs pages.enabled" in told


def test_the_effective_configuration_is_a_file_that_gives_the_same_one(tmp_path: Path) -> None:
    environment = {"PIERHEAD_SERVER_DATA": 'a "b\\c', "PIERHEAD_CORS_ALLOW_ORIGINS": "https://a.example", "HOME": "x"}
    configuration = load(environment=environment)
    file = tmp_path / "shown.toml"
    file.write_text(effective_toml(configuration))

    assert load(file, environment={}).settings == configuration.settings
    assert "# PIERHEAD_SERVER_DATA" in file.read_text()
    assert set(tomllib.loads(file.read_text())) == set(sections_by_name())


DIRECTORIES = """
[[ldap]]
name = "corp"
url = ["ldaps://one.example.org", "ldaps://two.example.org"]
base_dn = "ou=people,dc=example,dc=org"
group_base_dn = "ou=groups,dc=example,dc=org"
teams = { "all of us" = "everybody" }

[[ldap]]
name = "corp-group"
url = "ldaps://three.example.org"
base_dn = "ou=people,dc=example,dc=net"
"""


def test_of_some_sections_there_are_several_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text(DIRECTORIES)

    first, second = load(file, environment={}).settings.ldap

    assert (first.name, first.url) == ("corp", ("ldaps://one.example.org", "ldaps://two.example.org"))
    assert (second.name, second.url) == ("corp-group", ("ldaps://three.example.org",))


def test_a_variable_reaches_one_of_several_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text(DIRECTORIES)
    environment = {
        "PIERHEAD_LDAP_CORP_BASE_DN": "ou=all",
        "PIERHEAD_LDAP_CORP_TEAMS": "dev=developers, ops=operators",
        "PIERHEAD_LDAP_CORP_GROUP_SCOPE": "one",
        "PIERHEAD_LDAP_B_SIDE_URL": "ldaps://four.example.org",
        "PIERHEAD_LDAP_B_SIDE_BASE_DN": "ou=b",
    }

    configuration = load(file, environment=environment)

    first, second, third = configuration.settings.ldap
    assert first.base_dn == "ou=all"
    assert first.teams == {"dev": "developers", "ops": "operators"}
    assert (second.name, second.scope) == ("corp-group", "one")
    assert (third.name, third.base_dn) == ("b-side", "ou=b")
    assert configuration.sources["ldap.corp", "base_dn"] == "PIERHEAD_LDAP_CORP_BASE_DN"


def test_a_variable_that_two_of_several_could_mean_is_a_mistake(tmp_path: Path) -> None:
    told = mistakes(DIRECTORIES, tmp_path, PIERHEAD_LDAP_CORP_GROUP_FILTER="(cn={dn})")

    ambiguous = "ldap.corp-group.filter or ldap.corp.group_filter"
    assert told[0] == f"PIERHEAD_LDAP_CORP_GROUP_FILTER (environment): is {ambiguous}; write that in the file"


def test_a_variable_that_names_none_of_the_file_makes_one_with_the_longest_of_its_settings() -> None:
    environment = {
        "PIERHEAD_LDAP_CORP_GROUP_FILTER": "(cn={dn})",
        "PIERHEAD_LDAP_CORP_GROUP_BASE_DN": "ou=groups",
        "PIERHEAD_LDAP_CORP_BASE_DN": "ou=people",
        "PIERHEAD_LDAP_CORP_URL": "ldaps://one.example.org",
    }

    [directory] = load(environment=environment).settings.ldap

    assert (directory.name, directory.group_filter) == ("corp", "(cn={dn})")


def test_mistakes_in_one_of_several_name_it(tmp_path: Path) -> None:
    toml = """
[[ldap]]
name = "corp"
url = "http://one.example.org"
base_db = "ou=people"

[[ldap]]
name = "corp"

[[ldap]]
url = "ldaps://two.example.org"
base_dn = "ou=people"
"""

    misspelt = "PIERHEAD_LDAP_CORP_BIND_PASWORD"
    told = mistakes(toml, tmp_path, None, PIERHEAD_LDAP_CORP_FILTER="(uid=*)", **{misspelt: "hunter2"})

    file = tmp_path / "pierhead.toml"
    a_filter = "a filter with {login} in it, such as (uid={login})"
    servers = "a list of servers of one directory, each ldap://HOST[:PORT] or ldaps://HOST[:PORT]"
    assert told == [
        f"ldap.corp.base_db ({file}): no such setting; did you mean base_dn?",
        f"ldap.corp ({file}): another [[ldap]] has this name too",
        f"{misspelt} (environment): no such setting; did you mean PIERHEAD_LDAP_CORP_BIND_PASSWORD?",
        f"ldap.corp.url = 'http://one.example.org' ({file}): must be {servers}",
        "ldap.corp.base_dn: must be given: a distinguished name, such as ou=people,dc=example,dc=org",
        f"ldap.corp.filter = '(uid=*)' (PIERHEAD_LDAP_CORP_FILTER): must be {a_filter}",
        "ldap.3.name: must be given: a name of lower-case letters, digits and - between them, at most 32",
    ]


def test_single_brackets_for_one_of_several_are_a_mistake(tmp_path: Path) -> None:
    [told] = mistakes('[ldap]\nname = "corp"', tmp_path)

    assert told.endswith("must be written [[ldap]], since there may be several")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ('url = "ldap://one.example.org"', "ldap.corp.url (FILE): passwords would go over the network in the clear"),
        (
            'start_tls = true\nurl = "ldaps://one.example.org"',
            "ldap.corp.start_tls (FILE): ldaps:// is TLS from the start",
        ),
        ('bind_dn = "cn=reader"', "ldap.corp.bind_dn (FILE): needs bind_password or bind_password_file"),
        ('bind_password = "hunter2"', "ldap.corp.bind_password (FILE): needs bind_dn"),
        ('admin_groups = ["admins"]', "ldap.corp.admin_groups (FILE): needs group_base_dn"),
    ],
)
def test_settings_of_a_directory_that_contradict_each_other_are_mistakes(
    changed: str, told: str, tmp_path: Path
) -> None:
    table = {"url": '"ldaps://one.example.org"', "base_dn": '"ou=people"', "name": '"corp"'}
    lines = [f"{key} = {value}" for key, value in table.items() if f"{key} =" not in changed.splitlines()[-1][:8]]

    [mistake] = mistakes("\n".join(["[[ldap]]", *lines, changed]), tmp_path)

    assert mistake.startswith(told.replace("FILE", str(tmp_path / "pierhead.toml")))
    assert "hunter2" not in mistake


def test_plain_ldap_is_for_this_machine_or_for_who_says_so(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text(
        '[[ldap]]\nname = "here"\nurl = ["ldap://localhost", "ldap://127.0.0.1:3890", "ldap://[::1]"]\n'
        'base_dn = "ou=a"\n'
        '[[ldap]]\nname = "there"\nurl = "ldap://far.example.org"\nbase_dn = "ou=a"\nallow_plaintext = true\n'
    )

    assert len(load(file, environment={}).settings.ldap) == 2


def test_several_tables_are_shown_as_a_file_that_gives_the_same_ones(tmp_path: Path) -> None:
    file = tmp_path / "pierhead.toml"
    file.write_text(DIRECTORIES)
    configuration = load(file, environment={"PIERHEAD_LDAP_CORP_GROUP_SCOPE": "one"})
    shown = tmp_path / "shown.toml"
    shown.write_text(effective_toml(configuration))

    assert load(shown, environment={}).settings == configuration.settings
    assert "# PIERHEAD_LDAP_CORP_GROUP_SCOPE" in shown.read_text()


def test_every_setting_is_described_and_its_default_is_allowed() -> None:
    for section, model in sections_by_name().items():
        for name, field in model.model_fields.items():
            assert field.description, f"{section}.{name}"
            assert allowed(field) != "a text", f"{section}.{name}"
        model.model_validate(model().model_dump())
    for kind, table in tables_by_name().items():
        for name, field in table.model_fields.items():
            assert field.description, f"{kind}.{name}"
            assert allowed(field) != "a text", f"{kind}.{name}"


def test_a_part_cannot_change_its_settings() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServerSettings().port = 1
