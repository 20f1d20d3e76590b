//! A facade in this process, in front of an upstream that answers with the bytes of an input.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::{ListRequest, ListResponse, follow_me_service_client::FollowMeServiceClient},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    time::timeout,
};
use tonic::{Request, Status, metadata::MetadataMap, transport::Channel};

/// How long an exchange may take. An input that needs longer has hung the facade.
const LIMIT: Duration = Duration::from_secs(20);

/// A facade, its client, and what upstream answers.
pub struct World {
    runtime: Runtime,
    addr: SocketAddr,
    upstream: Arc<Upstream>,
    client: FollowMeServiceClient<Channel>,
}

/// What upstream answers, and how often it was asked.
#[derive(Default)]
struct Upstream {
    answer: Mutex<Vec<u8>>,
    requests: AtomicUsize,
}

/// The facade of all inputs of this process.
pub static WORLD: LazyLock<World> = LazyLock::new(World::start);

/// The name of the threads that the facade runs on.
const THREAD: &str = "facade";

/// How many tasks of the facade panicked: no caller sees that.
static PANICS: AtomicUsize = AtomicUsize::new(0);

impl World {
    fn start() -> Self {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            default(panic);
        }));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .expect("a runtime");
        let upstream = Arc::new(Upstream::default());
        let (addr, client) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
            tokio::spawn(serve(listener, Arc::clone(&upstream)));
            let license = License::new("FUZZ-KEY").expect("a License");
            let mut config = Config::new(url.parse().expect("a URL"), Some(license));
            config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
            config.upstream.read_retries = 0;
            // Most inputs are failures: an open breaker would hide them from the parsers.
            config.upstream.breaker.failures = u32::MAX;
            let app = App::build(config).await.expect("the facade is built");
            let addr = app.local_addr().expect("it is bound");
            tokio::spawn(app.run(std::future::pending()));
            let endpoint = Channel::from_shared(format!("http://{addr}")).expect("a URL");
            let channel = endpoint.connect().await.expect("the facade listens");
            (addr, FollowMeServiceClient::new(channel))
        });
        Self {
            runtime,
            addr,
            upstream,
            client,
        }
    }

    /// Lists account 1001 while upstream answers with these bytes, of which it then closes the
    /// connection.
    pub fn list(&self, answer: &[u8]) -> Result<ListResponse, Status> {
        self.list_with(answer, http::HeaderMap::new())
    }

    /// As [`World::list`], with metadata.
    pub fn list_with(
        &self,
        answer: &[u8],
        metadata: http::HeaderMap,
    ) -> Result<ListResponse, Status> {
        *self
            .upstream
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = answer.to_vec();
        let mut client = self.client.clone();
        let result = self.runtime.block_on(async {
            let mut request = Request::new(ListRequest {
                account_id: 1001,
                ..Default::default()
            });
            *request.metadata_mut() = MetadataMap::from_headers(metadata);
            timeout(LIMIT, client.list(request))
                .await
                .expect("the call ends")
        });
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a task panicked");
        result.map(tonic::Response::into_inner)
    }

    /// Sends bytes to the facade, and returns once upstream was asked because of them.
    pub fn ask(&self, bytes: &[u8]) {
        let before = self.upstream.requests.load(Ordering::SeqCst);
        self.runtime.block_on(async {
            let mut stream = TcpStream::connect(self.addr)
                .await
                .expect("the facade listens");
            stream.write_all(bytes).await.expect("the facade reads");
            let asked = async {
                let mut answer = [0; 1024];
                while self.upstream.requests.load(Ordering::SeqCst) == before {
                    let read = stream.read(&mut answer).await.expect("the facade answers");
                    assert!(read > 0, "the facade closed the connection");
                }
            };
            timeout(LIMIT, asked).await.expect("upstream is asked");
        });
    }

    /// Sends bytes to the facade on a connection of their own, and reads until it closes or has
    /// nothing more to say.
    pub fn send(&self, bytes: &[u8]) {
        self.runtime.block_on(async {
            let mut stream = TcpStream::connect(self.addr)
                .await
                .expect("the facade listens");
            // The facade may close at any byte.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = timeout(LIMIT, stream.read_to_end(&mut answer))
                .await
                .expect("it closes");
        });
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a task panicked");
    }
}

/// Answers every request with the bytes that are set, and closes.
async fn serve(listener: TcpListener, upstream: Arc<Upstream>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let bytes = upstream
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            upstream.requests.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        });
    }
}
