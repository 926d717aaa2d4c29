//! AWS's errors in words.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::fmt::Debug;

/// The service's own code and message; where there was no answer, what kept it away. No request's content is in it.
pub(super) fn why<E, R>(error: &SdkError<E, R>) -> String
where
    E: Error + ProvideErrorMetadata + 'static,
    R: Debug,
{
    match error.as_service_error() {
        Some(service) => {
            let code = service.code().unwrap_or("an error without a code");
            match service.message() {
                Some(message) => format!("{code}: {message}"),
                None => code.to_owned(),
            }
        }
        // What can't be read is not repeated: there may be a secret in it.
        None if matches!(error, SdkError::ResponseError(_)) => "an answer that can't be read".to_owned(),
        None => DisplayErrorContext(error).to_string(),
    }
}

/// The service's code.
pub(super) fn code<E, R>(error: &SdkError<E, R>) -> Option<&str>
where
    E: ProvideErrorMetadata,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether a conditional write of the table came about; no where its condition did not hold.
pub(super) fn held<T, E, R>(written: Result<T, SdkError<E, R>>) -> Result<bool, SdkError<E, R>>
where
    E: ProvideErrorMetadata,
{
    match written {
        Ok(_) => Ok(true),
        Err(error) if code(&error) == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the service did not answer or asked for patience.
pub(super) fn may_heal<E, R>(error: &SdkError<E, R>) -> bool
where
    E: ProvideErrorMetadata,
{
    const PATIENCE: [&str; 12] = [
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServerException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequestsException",
    ];
    error.as_service_error().is_none() || code(error).is_none_or(|code| PATIENCE.contains(&code))
}
