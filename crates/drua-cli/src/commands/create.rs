use drua_api::models::ContainerCreateResponse;
use drua_api::{Client, ClientError};
use drua_types::{ImageRef, exit};

use super::transfer::{Steps, show};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::options::{ContainerArgs, CreateRequest, PullPolicy, image_display_name, remote_image};

/// Create a new container
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Example:
  drua create --name web -p 8080:80 nginx && drua start web"
)]
pub(crate) struct Create {
    #[command(flatten)]
    container: ContainerArgs,
}

impl Create {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let streams = self.container.streams()?;
        let request =
            self.container.request(Some(streams)).map_err(|error| Failure::new(error).with_code(exit::ENGINE))?;
        let client = ctx.client().await?;
        let created = create(ctx, &client, &self.container, &request).await?;
        ctx.ui.line(&created.id)?;
        Ok(exit::OK)
    }
}

/// Creates a container, pulling its image where the options say so.
pub(super) async fn create(
    ctx: &Context,
    client: &Client,
    args: &ContainerArgs,
    request: &CreateRequest,
) -> Result<ContainerCreateResponse, Failure> {
    if let Some(path) = args.cidfile.as_deref().filter(|path| path.exists()) {
        let text = format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            path.display()
        );
        return Err(Failure::message(text));
    }
    if args.pull == PullPolicy::Always {
        pull(ctx, client, args, request).await?;
    }
    let created = match send(client, request).await {
        // On create the API answers 404 for a missing image only.
        Err(error) if error.is_not_found() && args.pull == PullPolicy::Missing => {
            ctx.ui.note(&format!("Unable to find image '{}' locally", image_display_name(&request.image)));
            pull(ctx, client, args, request).await?;
            send(client, request).await?
        }
        other => other?,
    };
    for warning in &created.warnings {
        ctx.ui.warning(warning);
    }
    if let Some(path) = &args.cidfile {
        fs_err::write(path, &created.id)?;
    }
    Ok(created)
}

async fn send(client: &Client, request: &CreateRequest) -> Result<ContainerCreateResponse, ClientError> {
    client.container_create(request.name.as_deref(), request.platform.as_deref(), &request.body).await
}

/// Pulls the image of a request; the progress goes to stderr.
async fn pull(ctx: &Context, client: &Client, args: &ContainerArgs, request: &CreateRequest) -> Result<(), Failure> {
    let image: ImageRef = request.image.parse()?;
    let (repository, tag) = remote_image(&image);
    let failed =
        |error: anyhow::Error| Failure::new(error.context(format!("cannot pull image `{}`", image.familiar())));
    let stream = client.image_pull(&repository, Some(&tag), request.platform.as_deref()).await;
    let stream = stream.map_err(|error| failed(error.into()))?;
    let steps = if args.quiet { Steps::Silent } else { Steps::Remarks };
    show(ctx, stream, steps).await.map(drop).map_err(|failure| failed(failure.error))
}
