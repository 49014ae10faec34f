//! What is declared before something is sent to it, once for each connection.

use std::collections::HashSet;

use lapin::Channel;

use super::{
    config::RabbitOptions,
    connection::Connection,
    producer::Publish,
    topology::{Exchange, Queue, declare_exchange, declare_queue, differs_in_durable},
};

/// What was declared over a connection. It has a channel of its own, for one is closed by each
/// refusal.
pub(super) struct Declared<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
    exchanges: HashSet<Exchange>,
    queues: HashSet<Queue>,
}

impl<'a> Declared<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, channel: None, exchanges: HashSet::new(), queues: HashSet::new() }
    }

    /// Somebody has deleted what was declared.
    pub(super) fn forget(&mut self) {
        self.exchanges.clear();
        self.queues.clear();
    }

    /// Declares what a message needs, unless it was.
    pub(super) async fn ensure(
        &mut self,
        options: &RabbitOptions,
        publish: &Publish,
    ) -> lapin::Result<()> {
        if let Some(exchange) = &publish.exchange
            && !self.exchanges.contains(exchange)
        {
            for as_it_is in [false, true] {
                let channel = self.channel().await?;
                match declare_exchange(&channel, exchange, as_it_is).await {
                    Err(error) if !as_it_is && differs_in_durable(&error) => {}
                    declared => {
                        declared?;
                        break;
                    }
                }
            }
            self.exchanges.insert(exchange.clone());
        }
        if let Some(queue) = &publish.queue
            && !self.queues.contains(queue)
        {
            for as_it_is in [false, true] {
                let channel = self.channel().await?;
                match declare_queue(&channel, options, queue, as_it_is).await {
                    Err(error) if !as_it_is && differs_in_durable(&error) => {}
                    declared => {
                        declared?;
                        break;
                    }
                }
            }
            self.queues.insert(queue.clone());
        }
        Ok(())
    }

    async fn channel(&mut self) -> lapin::Result<Channel> {
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.status().connected())
        {
            return Ok(channel.clone());
        }
        let channel = self.connection.channel().await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }
}
