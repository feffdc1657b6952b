# A queue in which a bucket announces new objects, for one S3 service of the collector, with its dead letter
# queue and an alarm on it. The bucket exists; how it announces is `announce`.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the queue"
}

variable "bucket" {
  type        = string
  description = "The bucket that the logs are written to"
}

variable "announce" {
  type        = string
  default     = "eventbridge"
  description = "eventbridge (its EventBridge notifications must be on) or notification (replaces the bucket's notifications)"
  validation {
    condition     = contains(["eventbridge", "notification"], var.announce)
    error_message = "announce is eventbridge or notification."
  }
}

variable "key_prefix" {
  type        = string
  default     = ""
  description = "Only objects whose keys begin so, e.g. AWSLogs/"
}

variable "visibility_timeout" {
  type        = number
  default     = 300
  description = "Seconds; the collector extends it at half time"
}

variable "max_receive_count" {
  type        = number
  default     = 20
  description = "Receives before a message goes to the dead letter queue; an outage of Devo counts too"
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Encrypts the queue with this key instead of SQS's own"
}

variable "alarm_topic_arns" {
  type        = list(string)
  default     = []
  description = "Are told when something comes to the dead letter queue"
}

data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  by_rule    = var.announce == "eventbridge"
  bucket_arn = "arn:${data.aws_partition.here.partition}:s3:::${var.bucket}"
}

module "queue" {
  source             = "../queue"
  name               = var.name
  sender             = local.by_rule ? "events.amazonaws.com" : "s3.amazonaws.com"
  sender_arn         = local.by_rule ? aws_cloudwatch_event_rule.this[0].arn : local.bucket_arn
  visibility_timeout = var.visibility_timeout
  max_receive_count  = var.max_receive_count
  kms_key_arn        = var.kms_key_arn
  alarm_topic_arns   = var.alarm_topic_arns
}

resource "aws_s3_bucket_notification" "this" {
  count  = local.by_rule ? 0 : 1
  bucket = var.bucket
  queue {
    queue_arn     = module.queue.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = var.key_prefix
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  count       = local.by_rule ? 1 : 0
  name        = var.name
  description = "New objects for the Devo collector"
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = merge(
      { bucket = { name = [var.bucket] } },
      var.key_prefix == "" ? {} : { object = { key = [{ prefix = var.key_prefix }] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "this" {
  count = local.by_rule ? 1 : 0
  rule  = aws_cloudwatch_event_rule.this[0].name
  arn   = module.queue.arn
}

output "queue_name" {
  value       = module.queue.name
  description = "For the service's queue key"
}

output "queue_arn" {
  value       = module.queue.arn
  description = "For the roles module"
}

output "queue_url" {
  value       = module.queue.url
  description = "For queue_url, where the queue is another account's"
}

output "object_arn" {
  value       = "${local.bucket_arn}/${var.key_prefix}*"
  description = "For the roles module"
}

output "region" {
  value       = data.aws_region.here.name
  description = "For the service's regions"
}
