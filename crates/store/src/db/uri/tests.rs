//! How URIs are parsed, and what is redacted.

use super::*;

fn parse(uri: &str) -> Result<BackendUri, UriError> {
    BackendUri::parse(uri, &Environment::default())
}

fn postgres(uri: &str) -> PostgresUri {
    match parse(uri).unwrap() {
        BackendUri::Postgres(uri) => *uri,
        BackendUri::Sqlite(_) => panic!("not PostgreSQL"),
    }
}

#[test]
fn sqlite_paths_are_relative_with_three_slashes_and_absolute_with_four() {
    assert_eq!(parse("sqlite:///mlflow.db"), Ok(BackendUri::Sqlite("mlflow.db".into())));
    assert_eq!(parse("sqlite:////var/lib/m%20l.db"), Ok(BackendUri::Sqlite("/var/lib/m l.db".into())));
    assert_eq!(parse("sqlite:///x.db?timeout=5"), Ok(BackendUri::Sqlite("x.db".into())));
    for memory in ["sqlite://", "sqlite:///", "sqlite:///:memory:"] {
        assert!(parse(memory).unwrap_err().to_string().contains("in-memory"), "{memory}");
    }
    assert!(parse("sqlite://mlflow.db/x").is_err());
}

#[test]
fn every_spelling_of_postgresql_is_understood() {
    for scheme in ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"] {
        let uri = postgres(&format!("{scheme}://al%40ice:p%3Aw%2Fd@db.example:6432/ml?sslmode=verify-full"));
        assert_eq!(uri.user.as_deref(), Some("al@ice"));
        assert_eq!(uri.password.as_deref(), Some("p:w/d"));
        assert_eq!(uri.hosts, ["db.example"]);
        assert_eq!(uri.ports, [6432]);
        assert_eq!(uri.database.as_deref(), Some("ml"));
        assert_eq!(uri.ssl_mode, SslMode::VerifyFull);
    }
}

#[test]
fn a_password_with_an_at_sign_left_unescaped_still_works() {
    assert_eq!(postgres("postgresql://u:p@ss@h/d").password.as_deref(), Some("p@ss"));
}

#[test]
fn a_password_with_a_slash_or_a_question_mark_is_read_as_sqlalchemy_reads_it() {
    for (uri, password) in [
        ("postgresql://u:p/w@h/d", "p/w"),
        ("postgresql://u:p?w@h/d", "p?w"),
        ("postgresql://u:p/w/@h:1/d?sslmode=require", "p/w/"),
    ] {
        let uri = postgres(uri);
        assert_eq!(uri.password.as_deref(), Some(password));
        assert_eq!((uri.hosts[0].as_str(), uri.database.as_deref()), ("h", Some("d")));
        assert_eq!(
            BackendUri::Postgres(Box::new(uri.clone())).to_string(),
            format!("postgresql://u@h:{}/d", uri.ports[0])
        );
    }
    // These are hosts.
    assert_eq!(postgres("postgresql://a:1,b:2/d?user=x%40y").user.as_deref(), Some("x@y"));
    assert_eq!(postgres("postgresql://h:5432/d?user=x@y").hosts, ["h"]);
}

#[test]
fn nothing_of_a_password_with_special_characters_is_shown() {
    let secrets = ["s3", "cr", "et", "pw"];
    for uri in [
        "postgresql://u:s3@cr/et@h/d",
        "postgresql://u:s3/cr@et/pw@h/d",
        "postgresql://u:s3@cr?et=pw@h/d",
        "postgresql://u:s3?cr@et=1&pw@h/d",
        "postgresql://u:s3@cr:et/pw@h/d",
        "postgresql://u:1234?s3=cr@h/d",
        "postgresql://u:s3@cr?application_name=et@h/d",
        "postgresql://h/d?password=s3&cr",
        "postgresql://h/d?password=s3&sslmode=cr",
        "host=h password=s3 dbname=cr",
        "u:s3",
        "postgresql:/u:s3@cr/d",
        "s3:cr@et://x",
    ] {
        let said = match parse(uri) {
            Ok(uri) => format!("{uri} {uri:?}"),
            Err(error) => error.to_string(),
        };
        for secret in secrets {
            assert!(!said.contains(secret), "{uri}: {said}");
        }
        let is_uri = uri.starts_with("postgresql://") && parse(uri).is_err();
        assert!(!is_uri || said.contains("percent-encode"), "{uri}: {said}");
    }
}

#[test]
fn a_socket_is_named_in_four_ways() {
    assert_eq!(postgres("postgresql://u@/d?host=/run/pg").hosts, ["/run/pg"]);
    assert_eq!(postgres("postgresql://u@%2Frun%2Fpg/d").hosts, ["/run/pg"]);
    assert_eq!(postgres("postgresql://u@%2Frun%2Fpg:6432/d").ports, [6432]);
    let environment = Environment::new([("PGHOST", "/run/pg")]);
    assert_eq!(
        BackendUri::parse("postgresql://u@:6432/d", &environment).unwrap().to_string(),
        "postgresql://u@/run/pg:6432/d"
    );
    let uri = postgres("postgresql://u@/d?host=a:1&host=b:2");
    assert_eq!((uri.hosts.as_slice(), uri.ports.as_slice()), (&["a".to_owned(), "b".to_owned()][..], &[1, 2][..]));
}

#[test]
fn ipv6_and_several_hosts() {
    assert_eq!(postgres("postgresql://[::1]:7/d").hosts, ["::1"]);
    let uri = postgres("postgresql://a:1,b:2/d?target_session_attrs=read-write");
    assert_eq!((uri.hosts.len(), uri.ports.len(), uri.read_write_only), (2, 2, true));
}

#[test]
fn the_environment_fills_the_gaps_and_never_overrides() {
    let environment = Environment::new([("PGPASSWORD", "secret"), ("PGUSER", "other"), ("PGSSLMODE", "require")]);
    let BackendUri::Postgres(uri) = BackendUri::parse("postgresql://me@h/d", &environment).unwrap() else {
        panic!("not PostgreSQL")
    };
    assert_eq!(uri.user.as_deref(), Some("me"));
    assert_eq!(uri.password.as_deref(), Some("secret"));
    assert_eq!(uri.ssl_mode, SslMode::Require);
}

#[test]
fn no_error_and_no_display_shows_the_password() {
    let uri = parse("postgresql://u:hunter2@h/d").unwrap();
    assert_eq!(uri.to_string(), "postgresql://u@h:5432/d");
    assert!(!format!("{uri:?}").contains("hunter2"));
    for bad in [
        "postgresql://u:hunter2@h:notaport/d",
        "postgresql://u:hunter2@h/d?nope=1",
        "postgresql://u:hunter2@h/d?sslmode=maybe",
        "u:hunter2@h/d",
        "oracle://u:hunter2@h/d",
        "mysql+pymysql://u:hunter2@h/d",
    ] {
        assert!(!parse(bad).unwrap_err().to_string().contains("hunter2"), "{bad}");
    }
}
