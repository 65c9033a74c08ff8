//! The local repository, through its public API.

use std::os::unix::fs::symlink;

use bytes::Bytes;
use ferroflow_artifacts::{ArtifactPath, ArtifactRepository, ByteStream, LocalRepository};
use ferroflow_model::ErrorCode;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

fn repository() -> (tempfile::TempDir, ArtifactRepository) {
    let folder = tempfile::tempdir().unwrap();
    let repository = ArtifactRepository::Local(LocalRepository::new(folder.path().join("root")));
    (folder, repository)
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

fn body(chunks: &[&'static [u8]]) -> ByteStream {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
    stream::iter(chunks).boxed()
}

async fn read(repository: &ArtifactRepository, name: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let opened = repository.open(&path(name), range, None).await.unwrap();
    opened
        .body
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend(chunk);
            Ok(all)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_listed_and_deleted() {
    let (_folder, repository) = repository();
    assert!(repository.list(&ArtifactPath::root()).await.unwrap().is_empty(), "nothing there yet is no error");
    repository.write(&path("d/e/f.bin"), body(&[b"abc", b"defg"]), None).await.unwrap();
    repository.write(&path("d/a.txt"), body(&[b"old"]), None).await.unwrap();
    repository.write(&path("d/a.txt"), body(&[b""]), None).await.unwrap();
    assert_eq!(read(&repository, "d/e/f.bin", None).await, b"abcdefg");
    assert_eq!(read(&repository, "d/e/f.bin", Some(2..5)).await, b"cde");
    assert_eq!(read(&repository, "d/a.txt", None).await, b"");
    let entries = repository.list(&path("d")).await.unwrap();
    let found: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.is_dir, e.size)).collect();
    assert_eq!(found, [("a.txt", false, Some(0)), ("e", true, None)]);
    assert!(repository.list(&path("d/a.txt")).await.unwrap().is_empty());
    repository.delete(&path("d/e")).await.unwrap();
    repository.delete(&path("d/e")).await.unwrap();
    let missing = repository.open(&path("d/e/f.bin"), None, None).await.map(drop).unwrap_err();
    assert_eq!(
        (missing.code, missing.message.as_str()),
        (ErrorCode::ResourceDoesNotExist, "No such artifact: 'd/e/f.bin'")
    );
}

#[tokio::test]
async fn a_file_of_many_reads_comes_whole_and_in_order() {
    let (folder, repository) = repository();
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::create_dir(folder.path().join("root")).unwrap();
    let file = folder.path().join("root/f.bin");
    std::fs::write(&file, &bytes).unwrap();
    assert!(read(&repository, "f.bin", None).await == bytes);
    assert!(read(&repository, "f.bin", Some(300_001..900_001)).await == bytes[300_001..900_001]);

    // Earlier chunks are still in use while later ones are read.
    let chunks: Vec<_> = repository.open(&path("f.bin"), None, None).await.unwrap().body.try_collect().await.unwrap();
    assert!(chunks.len() > 1 && chunks.concat() == bytes);

    let mut shorter = repository.open(&path("f.bin"), None, None).await.unwrap().body;
    shorter.next().await.unwrap().unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(500_000).unwrap();
    let error = shorter.try_for_each(|_| std::future::ready(Ok(()))).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing_and_keeps_what_was_there() {
    let (folder, repository) = repository();
    repository.write(&path("d/a.txt"), body(&[b"good"]), None).await.unwrap();
    let broken =
        stream::iter([Ok(Bytes::from_static(b"half")), Err(std::io::ErrorKind::ConnectionReset.into())]).boxed();
    assert_eq!(repository.write(&path("d/a.txt"), broken, None).await.unwrap_err().code, ErrorCode::BadRequest);
    assert_eq!(read(&repository, "d/a.txt", None).await, b"good");
    let names: Vec<_> =
        std::fs::read_dir(folder.path().join("root/d")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["a.txt"]);
}

#[tokio::test]
async fn no_link_leads_out() {
    let (folder, repository) = repository();
    repository.write(&path("inside.txt"), body(&[b"in"]), None).await.unwrap();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    let root = folder.path().join("root");
    symlink("../secret", root.join("up")).unwrap();
    symlink(folder.path(), root.join("absolute")).unwrap();
    symlink("inside.txt", root.join("fine")).unwrap();
    assert_eq!(read(&repository, "fine", None).await, b"in");
    for name in ["up", "absolute/secret"] {
        let error = repository.open(&path(name), None, None).await.map(drop).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{name}");
        assert!(!error.message.contains(folder.path().to_str().unwrap()));
    }
    repository.write(&path("absolute/new"), body(&[b"x"]), None).await.unwrap_err();
    assert!(!folder.path().join("new").exists());
    let listed: Vec<_> = repository.list(&ArtifactPath::root()).await.unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(listed, ["fine", "inside.txt"]);
    repository.delete(&path("absolute")).await.unwrap();
    assert!(folder.path().join("secret").exists(), "the link goes, not what it leads to");
}

#[tokio::test]
async fn a_directory_is_no_file_and_a_file_no_directory() {
    let (_folder, repository) = repository();
    repository.write(&path("d/a"), body(&[b"x"]), None).await.unwrap();
    assert_eq!(
        repository.open(&path("d"), None, None).await.map(drop).unwrap_err().code,
        ErrorCode::InvalidParameterValue
    );
    assert!(repository.write(&path("d"), body(&[b"x"]), None).await.is_err());
    assert!(repository.write(&path("d/a/b"), body(&[b"x"]), None).await.is_err());
    assert!(repository.write(&ArtifactPath::root(), body(&[b"x"]), None).await.is_err());
}
