//! Opening the database: its file, its settings, its migrations.

use super::queue::SqlQueue;
use super::store::SqlStore;
use super::time::nanos;
use super::writer::{Wakers, WriteFailed, Writer};
use crate::ports::{Clock, Lane};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Readers at once; each is a thread and up to 2 MiB of cache while in use.
const READERS: u32 = 4;

/// Bytes of a page of a new database; one that is there keeps its own. Most of what is written are deliveries of about 10 kB,
/// which take fewer of these than of SQLite's usual 4 KiB: fewer writes, and more deliveries a second (docs/performance.md).
const PAGE_SIZE: u32 = 8192;

/// Pages in the write-ahead log before they are moved into the database: rarer and larger moves keep the
/// commits between them short while deliveries pour in.
const CHECKPOINT_PAGES: &str = "4000";

/// Why the database can't be used. All of these are for whoever runs the server to mend.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is of no kind that we know.
    #[error("DATABASE_URL: {url}: {detail}; use sqlite: and a path, as in sqlite:data/cloud-code.db")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The file, or its folder, can't be opened or written.
    #[error(
        "DATABASE_URL: the database {path} can't be used: {detail}; its folder must be writable for this user and have room"
    )]
    Unusable {
        /// The database's file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// A newer version wrote it.
    #[error(
        "DATABASE_URL: the database {path} was written by a newer version of Cloud Code (it has migration {migration}, this \
         version ends at {newest}); run that version, or restore a copy from before the upgrade"
    )]
    Newer {
        /// The database's file.
        path: PathBuf,
        /// A migration that this version does not know.
        migration: i64,
        /// The last one that it knows.
        newest: i64,
    },
    /// A migration failed or was changed after it had run.
    #[error("DATABASE_URL: the database {path} can't be brought up to date: {detail}")]
    Migration {
        /// The database's file.
        path: PathBuf,
        /// What went wrong.
        detail: String,
    },
}

/// An open database. Its store and its queue share one writer.
#[derive(Clone)]
pub struct Database {
    path: PathBuf,
    readers: SqlitePool,
    writer: Writer,
    wakers: Arc<Wakers>,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Opens the database at `url` (`sqlite:PATH`), making file (mode 0600) and folder where they are missing, and brings
    /// it up to date. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// See [`DatabaseError`]; each message names `DATABASE_URL` and says what to do.
    pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, DatabaseError> {
        let (path, options) = options(url)?;
        let migrating = lock_for_migration(path.clone()).await?;
        let mut connection = options.connect().await.map_err(|error| unusable(&path, error))?;
        migrate(&path, &mut connection).await?;
        check_write(&mut connection, nanos(clock.now())).await.map_err(|error| unusable(&path, error))?;
        let position = last_position(&mut connection).await.map_err(|error| unusable(&path, error))?;
        drop(migrating);

        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .idle_timeout(Duration::from_secs(60))
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        let wakers = Arc::new(Wakers::default());
        let writer = Writer::start(connection, options, position, Arc::clone(&wakers), Arc::clone(&clock));
        Ok(Self { path, readers, writer, wakers, clock })
    }

    /// The queue in it.
    pub fn queue(&self) -> SqlQueue {
        SqlQueue::new(
            self.readers.clone(),
            self.writer.clone(),
            Arc::clone(&self.wakers),
            Arc::clone(&self.clock),
        )
    }

    /// The store in it.
    pub fn store(&self) -> SqlStore {
        SqlStore::new(self.readers.clone(), self.writer.clone(), Arc::clone(&self.clock))
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes what was accepted for writing and closes everything. Queue and store answer "unavailable" from then on.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

/// Writes the one row that is there to be written.
pub(super) async fn check_write(connection: &mut SqliteConnection, now: i64) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO health (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at")
        .bind(now)
        .execute(connection)
        .await
        .map(drop)
}

/// Begins a transaction that will write: SQLite's plain BEGIN would find out about other writers too late to wait.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

fn options(url: &str) -> Result<(PathBuf, SqliteConnectOptions), DatabaseError> {
    let refuse = |detail: String| DatabaseError::Url { url: without_password(url), detail };
    if !url.starts_with("sqlite:") {
        return Err(refuse("this kind of database is not supported".to_owned()));
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|error| refuse(error.to_string()))?;
    let path = options.get_filename().to_owned();
    let text = path.to_string_lossy();
    if text.is_empty() || text.contains(":memory:") || text.starts_with("file:") {
        return Err(refuse("a database in memory would lose what was accepted".to_owned()));
    }
    let options = options
        .create_if_missing(false)
        .page_size(PAGE_SIZE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging();
    Ok((path, options))
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

/// Makes the file ours alone, and keeps other processes from migrating at the same time. The lock is a file beside the
/// database, because opening and closing the database's own file would drop SQLite's locks on it.
async fn lock_for_migration(path: PathBuf) -> Result<File, DatabaseError> {
    let locked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || prepare_file(&path)).await
    };
    match locked {
        Ok(result) => result.map_err(|error| unusable(&path, error)),
        Err(error) => Err(unusable(&path, error)),
    }
}

fn prepare_file(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path)?;
    lock.lock()?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o700))?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(lock)
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), DatabaseError> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    MIGRATIONS.run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(migration) => {
            DatabaseError::Newer { path: path.to_owned(), migration, newest }
        }
        MigrateError::Execute(error) => unusable(path, error),
        other => DatabaseError::Migration { path: path.to_owned(), detail: other.to_string() },
    })
}

/// The newest position among what waits, one step into an index a lane.
async fn last_position(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let mut last = 0;
    for lane in Lane::ALL {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(position) FROM messages WHERE lane = $1 AND state = 'ready'")
                .bind(lane.as_str())
                .fetch_one(&mut *connection)
                .await?;
        last = last.max(newest.unwrap_or_default());
    }
    Ok(last)
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Unusable { path: path.to_owned(), detail: error.to_string() }
}

/// Opens one more connection for the writer, after the one before had failed.
pub(super) async fn reconnect(options: &SqliteConnectOptions) -> Result<SqliteConnection, WriteFailed> {
    options.connect().await.map_err(|error| WriteFailed(error.to_string()))
}

/// Closes a connection for good; what it was in the middle of is rolled back.
pub(super) async fn discard(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing a failed database connection");
    }
}
