# A FIFO queue fed by an EventBridge rule, for service-events-all or sqs-cloudwatch-consumer (Security Hub),
# with its dead letter queue and an alarm on it.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the queue, without .fifo"
}

variable "sources" {
  type        = list(string)
  default     = ["aws.securityhub"]
  description = "The event sources, e.g. aws.securityhub, or aws.cloudwatch, aws.health, aws.ec2"
}

variable "event_bus" {
  type        = string
  default     = "default"
  description = "The event bus"
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

data "aws_region" "here" {}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters.fifo"
  fifo_queue                = true
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
}

resource "aws_sqs_queue" "this" {
  name                        = "${var.name}.fifo"
  fifo_queue                  = true
  content_based_deduplication = true
  message_retention_seconds   = 1209600
  visibility_timeout_seconds  = var.visibility_timeout
  sqs_managed_sse_enabled     = var.kms_key_arn == null ? true : null
  kms_master_key_id           = var.kms_key_arn
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "Events"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.this.arn]
    }
  }
  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy    = data.aws_iam_policy_document.queue.json
}

resource "aws_cloudwatch_event_rule" "this" {
  name           = var.name
  description    = "Events for the Devo collector"
  event_bus_name = var.event_bus
  event_pattern  = jsonencode({ source = var.sources })
}

resource "aws_cloudwatch_event_target" "this" {
  rule           = aws_cloudwatch_event_rule.this.name
  event_bus_name = var.event_bus
  arn            = aws_sqs_queue.this.arn
  sqs_target {
    message_group_id = "devo"
  }
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "An event could not be collected; flows check and the quarantine say why"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

output "queue_name" {
  value       = aws_sqs_queue.this.name
  description = "For cloudwatch_sqs_queue_name"
}

output "queue_arn" {
  value       = aws_sqs_queue.this.arn
  description = "For the roles module"
}

output "queue_url" {
  value       = aws_sqs_queue.this.url
  description = "For queue_url, where the queue is another account's"
}

output "region" {
  value       = data.aws_region.here.name
  description = "For the service's regions"
}
